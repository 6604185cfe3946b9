//! The CPU: which guest computes, when, on which thread, for how long, and whose account pays for it.
//!
//! One way in. The caller makes a [`CpuTask`] of its call ([`Scheduler::task`], with the account that pays, the
//! plugin's habit and the call's budget), wraps the guest by [`CpuTask::guest`], and runs all of the call, the
//! deadlines around the guest too, by [`CpuTask::run`]. While the guest computes, [`CpuTask::tick`] is called on its
//! thread every millisecond and says if the guest goes on. [`CpuTask::used`] is the CPU that the call has used.
//!
//! ```text
//!                        a turn is free                 returns: the last turn lasts
//!   Waiting ───────────────────────────────▶ InTurn ─────────────────────▶ until its end is billed
//!    │ ▲  ▲   none: in its tenant's queue     ▲  │
//!    │ │  └──────────── Queued ───────────────┘  │
//!    │ │                  ▲ yielded at a tick ───┤    also: the call moves to the background
//!    │ └──────────────────┼──────────────────────┘ waits for something else than the CPU
//!    ▼ streams, and is ahead of its budget or its tenant's quota
//!   Paused
//! ```
//!
//! * **A short call** runs where its request is served. Each poll of its guest is a turn, of which there are as many
//!   as processors: a free turn costs two atomic operations. When no turn is free and nobody waits, a call that is
//!   short so far takes an extra turn, for a queue of short calls costs more than the calls do. Most calls end before
//!   their first tick; a guest that a tick finds at its very beginning is left alone.
//! * **A long call** is made to yield at a tick. It joins the queue before it gives its turn back, so that it may be
//!   the one to go on, and moves for good to threads that the kernel keeps behind all others (`background/`). Its
//!   plugin's next sixteen calls begin there ([`Habit`]). A call in the background has no extra turns. When the call
//!   has used its budget, the tick stops it.
//! * **A greedy tenant** waits. When turns are short, the next turn goes to the tenant that has used the least CPU
//!   for its weight since they became short, however many calls it has (`queue.rs`). A tenant that has had no more than
//!   those that are served takes an extra turn and does not wait; the last extra turn is for a tenant that has none.
//! * **A stream** has its budget until its answer's head, and then as much again for each second. A stream that is
//!   ahead of its budget, or whose tenant has used up its quota, is paused before it asks for a turn: it can wait. But
//!   a stretch in which it waits for nothing is never longer than one budget.
//! * **The end** of a call, which clears its memory, is billed like its guest, also if the call never had a turn, is
//!   dropped, or panics: everything is charged in one function (`task.rs`), to the call and to its tenant.
//!
//! | file | owns |
//! |---|---|
//! | `scheduler.rs` | the parts of one host, from start to end |
//! | `task.rs` | the bill of one call, and its guest's orders at a tick |
//! | `guest.rs` | the state of one call's guest: turn, queue, pause |
//! | `execution.rs` | the thread on which a call runs |
//! | `queue.rs` | the turns, and the order of tenants |
//! | `account.rs` | a tenant's weight, its quota, and the CPU that it has used |
//! | `background/` | threads for guests that compute on, which the kernel keeps behind all others |
//! | `habit.rs` | the number of a plugin's calls that begin there |
//! | `ticker.rs` | the ticks, and their rest while no guest runs |
//! | `clock.rs` | the CPU time of a thread |
//!
//! Knows no HTTP and no WebAssembly: a guest is a future, and a tick is a function that is given.

mod account;
mod background;
mod clock;
mod execution;
mod guest;
mod habit;
mod queue;
mod scheduler;
mod task;
mod ticker;

pub use account::CpuAccount;
pub use background::stay_ordinary;
pub use execution::Execution;
pub use guest::Guest;
pub use habit::Habit;
pub use scheduler::{Scheduler, SchedulerError};
pub use task::{CpuTask, Tick};
