//! The program that is started to compile: the running one, told from an interpreter that runs it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The running program, even if its file was replaced since: a replaced file could be another compiler.
const RUNNING: &str = "/proc/self/exe";

/// The same link by a name for which interpreters have no answer of their own.
const RUNNING_BY_THE_KERNEL: &str = "/proc/thread-self/exe";

/// The program that is started to compile: its command `compile` is `compile_standard_input`.
#[derive(Debug, Clone)]
pub struct CompilerProgram(PathBuf);

impl CompilerProgram {
    /// The running program itself.
    ///
    /// # Errors
    /// If the system does not say which program is running.
    pub fn this() -> io::Result<Self> {
        let running = Path::new(RUNNING);
        if !(cfg!(target_os = "linux") && running.exists()) {
            return std::env::current_exe().map(Self);
        }
        // In this order: a file that is replaced in between has a name by then that is no file's.
        let by_the_kernel = fs::read_link(RUNNING_BY_THE_KERNEL);
        let told = fs::read_link(running);
        let interpreted = by_the_kernel.ok().zip(told.ok()).and_then(interpreted_program);
        Ok(Self(interpreted.unwrap_or_else(|| running.to_owned())))
    }

    /// The program in this file.
    pub fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

/// The file of a program that an interpreter runs (valgrind, qemu-user), from the names of the running program that the
/// kernel and the interpreter give.
///
/// There `/proc/self/exe` executes the interpreter, whose arguments are others. Who reads that link is told the name of
/// the program: the interpreter answers in the kernel's place. Without an interpreter both names are the kernel's. A
/// replaced file is no difference between them; its name ends with ` (deleted)` in both.
fn interpreted_program((by_the_kernel, told): (PathBuf, PathBuf)) -> Option<PathBuf> {
    (by_the_kernel != told && told.is_file()).then_some(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_the_kernel_runs_is_started_by_the_link_that_no_replacement_changes() {
        assert_eq!(CompilerProgram::this().unwrap().path(), Path::new(RUNNING));
    }

    #[test]
    fn the_file_is_started_only_where_an_interpreter_says_another_name_than_the_kernel() {
        let file = std::env::current_exe().unwrap();
        let own = file.to_str().unwrap();
        let deleted = format!("{own} (deleted)");
        let valgrind = "/usr/libexec/valgrind/callgrind-amd64-linux";
        for (by_the_kernel, told, is_interpreted) in [
            (own, own, false),
            (valgrind, own, true),
            // Replaced: before either was asked, or in between; and under an interpreter.
            (&deleted, &deleted, false),
            (own, &deleted, false),
            (valgrind, &deleted, false),
        ] {
            let found = interpreted_program((by_the_kernel.into(), told.into()));
            assert_eq!(found, is_interpreted.then(|| file.clone()), "{by_the_kernel}, {told}");
        }
    }
}
