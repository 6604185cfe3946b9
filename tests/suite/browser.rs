//! The demo's page in a real browser: Chromium without a window, in a network of its own.
//!
//! Where there is no `chromium`, or no network of a test's own, the test is skipped, which it says on standard error.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use jackfield_tests::{Browser, Host, Options, alone, bytes_of_base64};
use serde_json::{Value, json};
use tempfile::TempDir;

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

/// Seconds of sound in the file that is played, and its bytes a second: more than a browser fetches ahead.
const SOUND_SECONDS: u32 = 3000;
const SOUND_RATE: u32 = 8000;

/// The demo's tenant on a host of the test's own, its page in the test's folder.
async fn demo() -> Host {
    let site = fs::read_to_string(format!("{EXAMPLES}/demo/site.toml")).unwrap();
    let tenants = &site[site.find("[tenants.shop]").expect("the demo has a tenant")..];
    let tenants =
        tenants.replace("../../target/wasm32-wasip2/plugin/", "").replace("../site/public", "public");
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("public")).unwrap();
    for file in fs::read_dir(format!("{EXAMPLES}/site/public")).unwrap().map(|entry| entry.unwrap()) {
        fs::copy(file.path(), folder.path().join("public").join(file.file_name())).unwrap();
    }
    Host::start_with(&tenants, Options { folder: Some(folder), ..Options::default() }).await
}

/// Runs the body with a browser, unless this machine has none.
fn in_a_browser(test: &str, body: impl AsyncFnOnce(Browser)) {
    match Browser::is_there() {
        Ok(()) => alone(test, async || body(Browser::start()).await),
        Err(why) => {
            // Not by a macro, whose text is kept for tests that fail.
            let _ = std::io::stderr().write_all(format!("SKIPPED {test}: {why}\n").as_bytes());
        }
    }
}

/// Waits for the access line of a request that was answered with this status.
async fn wait_for_answer(host: &Host, method: &str, path: &str, status: u16) {
    let is_it = |line: &Value| line["method"] == method && line["path"] == path && line["status"] == status;
    host.wait_for_log(&format!("{method} {path} is answered with {status}"), is_it).await;
}

/// A script that fills the page's form and submits it.
fn submit(token: &str) -> String {
    format!(
        r#"
        var form = document.querySelector("form");
        for (const [name, value] of Object.entries({{
          title: "The C Programming Language", author: "Brian Kernighan", isbn: "9780131103627",
          price: "49.99", token: "{token}",
        }})) form.elements[name].value = value;
        form.requestSubmit();
        "#
    )
}

#[test]
fn the_demos_page_lists_the_books_adds_one_and_is_revalidated() {
    in_a_browser(
        "browser::the_demos_page_lists_the_books_adds_one_and_is_revalidated",
        async |mut browser| {
            let host = demo().await;
            browser.open(&format!("http://{}/", host.address()));
            browser.wait_for("document.querySelector('#notice').textContent === 'The shop is empty.'");
            browser.evaluate(&submit("nobodys-token"));
            browser.wait_for("document.querySelector('#notice').textContent.includes('token')");
            wait_for_answer(&host, "POST", "/api/books", 401).await;
            browser.evaluate(&submit("editor-demo-token"));
            browser.wait_for("document.querySelector('#notice').textContent === '1 in the shop.'");
            let item = browser.evaluate("document.querySelector('#books').textContent");
            assert_eq!(item, "The C Programming Language by Brian Kernighan, 49.99");
            for path in ["/", "/script.js", "/style.css", "/favicon.svg"] {
                wait_for_answer(&host, "GET", path, 200).await;
            }

            browser.reload();
            browser.wait_for("document.querySelector('#notice').textContent === '1 in the shop.'");
            for path in ["/", "/script.js", "/style.css"] {
                wait_for_answer(&host, "GET", path, 304).await;
            }
            browser.write_picture(&picture("page.png"));
        },
    );
}

/// A file in the target folder, for people to look at.
fn picture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("browser");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// Records a second and a half of a moving colour, and gives the file in base64.
const RECORD: &str = r#"
(async () => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [320, 180];
  const brush = canvas.getContext("2d");
  const recorder = new MediaRecorder(canvas.captureStream(20), { mimeType: "video/webm;codecs=vp8" });
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  const stopped = new Promise((resolve) => (recorder.onstop = resolve));
  recorder.start();
  for (let step = 0; step < 30; step++) {
    brush.fillStyle = `hsl(${step * 12} 70% 50%)`;
    brush.fillRect(0, 0, 320, 180);
    brush.fillStyle = "white";
    brush.fillRect(step * 10, 70, 40, 40);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  recorder.stop();
  await stopped;
  const reader = new FileReader();
  const read = new Promise((resolve) => (reader.onload = resolve));
  reader.readAsDataURL(new Blob(parts));
  await read;
  return reader.result.split(",")[1];
})()
"#;

/// Plays a file in a new element until `seconds` are over, and gives the element's state.
const PLAY: &str = r#"
globalThis.play = async (kind, url, seconds) => {
  const element = document.createElement(kind);
  document.body.prepend(element);
  element.muted = true;
  element.src = url;
  await element.play();
  await passes(element, seconds);
  return element;
};
globalThis.passes = (element, seconds) => new Promise((resolve) => {
  element.ontimeupdate = () => element.currentTime > seconds && resolve();
  element.ontimeupdate();
});
"#;

/// A WAV file: its head, then `SOUND_SECONDS` of one value, for which no place on the disk is taken.
fn write_sound(file: &Path) {
    let length = SOUND_SECONDS * SOUND_RATE;
    let mut head = Vec::new();
    head.extend(b"RIFF");
    head.extend((length + 36).to_le_bytes());
    head.extend(b"WAVEfmt ");
    // The chunk's length; PCM, one channel; bytes and frames a second; bytes a frame, bits a sample.
    head.extend(16_u32.to_le_bytes());
    head.extend([1_u16, 1].map(u16::to_le_bytes).concat());
    head.extend([SOUND_RATE, SOUND_RATE].map(u32::to_le_bytes).concat());
    head.extend([1_u16, 8].map(u16::to_le_bytes).concat());
    head.extend(b"data");
    head.extend(length.to_le_bytes());
    let mut file = fs::File::create(file).unwrap();
    file.write_all(&head).unwrap();
    file.set_len(u64::from(length + 44)).unwrap();
}

#[test]
fn a_video_plays_and_a_long_sound_is_sought_in_by_ranges() {
    in_a_browser("browser::a_video_plays_and_a_long_sound_is_sought_in_by_ranges", async |mut browser| {
        let host = demo().await;
        browser.open(&format!("http://{}/", host.address()));
        let video = browser.evaluate(RECORD);
        fs::write(host.file("public/tides.webm"), bytes_of_base64(video.as_str().unwrap())).unwrap();
        write_sound(&host.file("public/tides.wav"));
        browser.evaluate(PLAY);

        let shown = browser.evaluate(
            "play('video', '/tides.webm', 0.5).then((video) => (video.pause(), [video.videoWidth, video.error]))",
        );
        assert_eq!(shown, json!([320, null]));
        wait_for_answer(&host, "GET", "/tides.webm", 206).await;
        browser.write_picture(&picture("video.png"));

        let length = browser.evaluate(
            "play('audio', '/tides.wav', 0.1).then((sound) => {
              globalThis.sound = sound;
              return [sound.duration, sound.seekable.end(0)];
            })",
        );
        assert_eq!(length, json!([SOUND_SECONDS, SOUND_SECONDS]));
        let late = SOUND_SECONDS - 300;
        browser.evaluate(&format!("sound.currentTime = {late}; passes(sound, {late} + 0.1)"));
        // The first answer, broken off, and that from the place on which was asked for then.
        browser.evaluate("sound.removeAttribute('src'); sound.load()");
        let is_range = |line: &&Value| line["path"] == "/tides.wav" && line["status"] == 206;
        host.wait_until("two ranges of the sound are answered", async || {
            host.log().iter().filter(is_range).count() >= 2
        })
        .await;
    });
}
