//! The program: turns arguments, environment and inherited sockets into a command.

use std::process::ExitCode;

use jackfield::command::HandedOver;

/// A request consists of short-lived allocations of every size from many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let handed_over = HandedOver::from_env();
    jackfield::command::run(std::env::args_os(), std::env::vars_os(), handed_over)
}
