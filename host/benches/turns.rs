//! `cargo bench --bench turns`: what a turn on the CPU costs a call that nobody has to wait for.
//!
//! A future that is ready at once, polled bare and in a turn, in alternating rounds; the difference is the
//! scheduler's.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use jackfield::tenant::{Reading, Share, Turns};

const ROUNDS: usize = 9;
const CALLS: u32 = 1_000_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let (turns, share) = (Turns::new(2), Share::new(NonZeroU32::MIN, None));
    let (has_turn, used_ns, charged_ns) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let meter = |turn| {
        has_turn.store(turn, Ordering::Relaxed);
        let used_ns = used_ns.load(Ordering::Relaxed);
        let uncharged_ns = used_ns - charged_ns.fetch_max(used_ns, Ordering::Relaxed);
        Reading { used_ns, uncharged_ns, ..Reading::default() }
    };
    let call = || async { black_box(used_ns.fetch_add(15_000, Ordering::Relaxed)) };
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let bare = runtime.block_on(async {
            let began = Instant::now();
            for _ in 0..CALLS {
                call().await;
            }
            began.elapsed()
        });
        let in_turns = runtime.block_on(async {
            let began = Instant::now();
            for _ in 0..CALLS {
                turns.run(&share, meter, call()).await;
            }
            began.elapsed()
        });
        rounds.push((in_turns.as_secs_f64() - bare.as_secs_f64()) * 1e9 / f64::from(CALLS));
    }
    rounds.sort_by(f64::total_cmp);
    println!(
        "a turn that is free costs {:.0} ns ({:.0} to {:.0})",
        rounds[ROUNDS / 2],
        rounds[0],
        rounds[ROUNDS - 1]
    );
}
