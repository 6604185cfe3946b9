//! The program: arguments, environment and the sockets that it was handed → a command.

use std::process::ExitCode;

/// Short-lived allocations of every size from many threads are what a request is made of.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    jackfield::command::run(std::env::args_os(), std::env::vars_os(), listenfd::ListenFd::from_env())
}
