use super::*;

/// The next part of a content, made with random numbers.
type Next = dyn FnMut(&mut dyn FnMut() -> u64, &mut Vec<u8>);

/// A text whose words follow no pattern, and JSON that is like what APIs answer.
fn texts(bytes: usize) -> [(&'static str, Vec<u8>); 4] {
    let mut state = 1_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    };
    let words: Vec<String> = (0..2000)
        .map(|_| (0..3 + random() % 8).map(|_| char::from(b'a' + (random() % 26) as u8)).collect())
        .collect();
    let mut fill = |mut next: Box<Next>| {
        let mut content = Vec::new();
        while content.len() < bytes {
            next(&mut random, &mut content);
        }
        content.truncate(bytes);
        content
    };
    let named = words.clone();
    let prose = fill(Box::new(move |random, content| {
        // Some words are much more common than others.
        let (one, other) = (random() % 2000, random() % 2000);
        content.extend_from_slice(words[one.min(other) as usize].as_bytes());
        content.push(if random() % 12 == 0 { b'\n' } else { b' ' });
    }));
    let json = fill(Box::new(move |random, content| {
        let title = &named[(random() % 2000) as usize];
        let (id, price) = (random() % 100_000, random() % 10_000);
        let entry =
            format!(r#"{{"id":{id},"title":"{title}","price":{price},"in-stock":true,"tags":["a","b"]}},"#);
        content.extend_from_slice(entry.as_bytes());
    }));
    let mut number = 0;
    let events = fill(Box::new(move |random, content| {
        number += 1;
        let value = random() % 1000;
        content.extend_from_slice(format!("id: {number}\ndata: {{\"value\":{value}}}\n\n").as_bytes());
    }));
    let noise = fill(Box::new(|random, content| content.extend_from_slice(&random().to_le_bytes()[..4])));
    [("text", prose), ("JSON", json), ("SSE", events), ("random", noise)]
}

fn encoded(coding: Coding, content: &[u8], bytes: Option<usize>) -> Vec<u8> {
    let mut encoder = Encoder::new(coding, bytes);
    for step in content.chunks(STEP_BYTES) {
        encoder.encode(step).unwrap();
    }
    encoder.finish().unwrap();
    encoder.encoded
}

#[test]
fn a_window_is_no_larger_than_its_body_and_never_larger_than_the_bound() {
    for (bytes, expected) in [
        (Some(0), 10),
        (Some(1024), 10),
        (Some(1025), 11),
        (Some(1 << 17), 17),
        (Some(1 << 30), 18),
        (None, 18),
    ] {
        assert_eq!(codec::window(bytes, 18), expected, "{bytes:?}");
    }
}

#[test]
fn a_flush_gives_what_was_held_back_and_nothing_twice() {
    for coding in Coding::ALL {
        let mut encoder = Encoder::new(coding, None);
        encoder.encode(b"data: 1\n\n").unwrap();
        let held_back = encoder.encoded.len();
        encoder.flush().unwrap();
        let flushed = encoder.encoded.len();
        assert!(flushed > held_back, "{coding}");
        encoder.flush().unwrap();
        assert_eq!(encoder.encoded.len(), flushed, "{coding}");
    }
}

/// The resident memory of this process, in bytes.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}

/// In a process of its own, for tests run side by side.
#[cfg(target_os = "linux")]
#[test]
fn an_encoder_has_no_more_memory_than_is_said() {
    let this = std::env::current_exe().unwrap();
    let test = "request::encoder::tests::many_encoders_have_no_more_memory_than_is_said";
    let ended = std::process::Command::new(this).args(["--ignored", "--exact", test]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "run by `an_encoder_has_no_more_memory_than_is_said`"]
fn many_encoders_have_no_more_memory_than_is_said() {
    const ENCODERS: u64 = 64;
    let contents = texts(1 << 20);
    for coding in Coding::ALL {
        for (name, content) in &contents {
            let before = resident_bytes();
            let mut encoders: Vec<_> = (0..ENCODERS).map(|_| Encoder::new(coding, None)).collect();
            for encoder in &mut encoders {
                for step in content.chunks(STEP_BYTES) {
                    encoder.encode(step).unwrap();
                    encoder.encoded = Vec::with_capacity(2 * PIECE_BYTES);
                }
            }
            let each = resident_bytes().saturating_sub(before) / ENCODERS;
            println!("an encoder of {coding} in the midst of {name}: {} KiB", each >> 10);
            assert!(each <= ENCODER_BYTES, "{coding} {name}: {each} bytes");
        }
    }
}

/// `cargo test --release -p jackfield --lib -- --ignored --nocapture measures_codecs`
#[test]
#[ignore = "prints figures"]
fn measures_codecs() {
    println!("coding  content  4 KiB  64 KiB  4 MiB (of 100 %)  ms CPU a MiB: 4 KiB  64 KiB  4 MiB");
    for (name, content) in texts(4 << 20) {
        for coding in Coding::ALL {
            let of = |bytes: usize, times: u32, known: bool| {
                let content = &content[..bytes];
                let began = Instant::now();
                let mut size = 0;
                for _ in 0..times {
                    size = encoded(coding, content, known.then_some(bytes)).len();
                }
                let ms = began.elapsed().as_secs_f64() * 1000.0;
                let mib = (bytes as f64) * f64::from(times) / f64::from(1 << 20);
                (100.0 * size as f64 / bytes as f64, ms / mib)
            };
            let small = of(4 << 10, 200, true);
            let middle = of(64 << 10, 30, true);
            let large = of(4 << 20, 1, false);
            println!(
                "{coding:<7} {name:<8} {:5.1} {:5.1} {:5.1}   {:6.1} {:6.1} {:6.1}",
                small.0, middle.0, large.0, small.1, middle.1, large.1
            );
        }
    }
}
