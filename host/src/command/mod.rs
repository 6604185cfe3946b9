//! The command line: arguments in, answers out, one exit code.
//!
//! Turns arguments into calls of the rooms and prints their results; decides nothing itself.

mod answer;
mod arguments;
mod check;
mod compiler;
mod confinement;
mod explain;
mod inspect;
mod new;
mod project;
mod project_name;
mod remote;
mod serve;
mod threads;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

/// The sockets that the parent process has handed over.
pub use listenfd::ListenFd as HandedOver;

use crate::deploy::Environment;
use crate::sandbox::{CodeSettings, Task, compile_standard_input};
use answer::{Colours, Exit, refuse};
use arguments::{Command, Compile, parse};
use remote::Surroundings;

/// Runs the command that `arguments` ask for, in this environment, with the sockets that were handed over.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    sockets: HandedOver,
) -> ExitCode {
    let environment: Vec<_> = environment.into_iter().collect();
    let colours = Colours::asked_for_by(&environment);
    let surroundings = Surroundings::of(&environment);
    let environment = Environment::from_iter(environment);
    let arguments = match parse(arguments, colours) {
        Ok(arguments) => arguments,
        Err(asked) => {
            let is_help = !asked.use_stderr();
            // A closed pipe is no reason to fail.
            let _ = asked.print();
            return if is_help { Exit::Done } else { Exit::WrongUsage }.into();
        }
    };
    let exit = match arguments.command {
        Command::Serve(serve) => serve::run(serve, environment, sockets, colours),
        Command::Check(check) => check::run(&check, &environment, colours),
        Command::Inspect(inspect) => inspect::run(&inspect),
        Command::Explain(explain) => explain::run(&explain, colours),
        Command::New(new) => new::run(&new),
        Command::Remote(command) => remote::run(&command, &surroundings, colours),
        Command::Compile(compile) => {
            let Compile { reservation, guard, time, memory, parent, unconfined, copied, read, restored } =
                compile;
            let code = CodeSettings {
                reservation_bytes: reservation,
                guard_bytes: guard,
                maps_images: !copied,
                reads_pages: read,
                restores: restored,
            };
            let task = Task {
                code,
                time: Duration::from_millis(time),
                memory_bytes: memory,
                is_confined: !unconfined,
                parent,
            };
            match compile_standard_input(task) {
                Ok(()) => Exit::Done,
                Err(error) => refuse(error),
            }
        }
    };
    exit.into()
}
