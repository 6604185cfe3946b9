//! The program: arguments, environment and the sockets that it was handed → a command.

use std::process::ExitCode;

use jackfield::command::HandedOver;

/// Short-lived allocations of every size from many threads are what a request is made of.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let handed_over = HandedOver::from_env();
    jackfield::command::run(std::env::args_os(), std::env::vars_os(), handed_over)
}
