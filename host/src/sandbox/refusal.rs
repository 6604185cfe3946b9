//! The system's refusals, told from a guest's faults, with the advice to the operator.

use std::io;

use rustix::io::Errno;

/// The system's error behind an error of wasmtime's, if there is one. An error that a guest made of a system's answer
/// is not the system's: if the guest has run, only a refusal to wasmtime itself counts.
pub(super) fn of_system(error: &wasmtime::Error) -> Option<Errno> {
    let of_wasmtime = || error.chain().find_map(|cause| cause.downcast_ref::<Errno>().copied());
    let of_std = || error.chain().find_map(|cause| Errno::from_io_error(cause.downcast_ref::<io::Error>()?));
    let has_run = error.downcast_ref::<wasmtime::WasmBacktrace>().is_some();
    of_wasmtime().or_else(|| if has_run { None } else { of_std() })
}

/// True if there was no room in memory or in the address space.
pub(super) fn is_of_memory(error: &wasmtime::Error) -> bool {
    error.is::<wasmtime::OutOfMemory>() || of_system(error) == Some(Errno::NOMEM)
}

/// The advice to the operator for a refusal.
pub(super) fn advice(errno: Errno) -> &'static str {
    match errno {
        Errno::MFILE => "the process has no descriptor left: raise `LimitNOFILE=` (`ulimit -n`)",
        Errno::NFILE => "the system has no open file left: raise `fs.file-max`",
        Errno::NOMEM => {
            "the system has no memory or no mapping left: raise `vm.max_map_count` or the limit on memory, or lower \
             `concurrency` of [host]"
        }
        Errno::AGAIN => {
            "the system has no thread or process left: raise `LimitNPROC=` (`ulimit -u`) and `TasksMax=`"
        }
        Errno::NOSPC => "a disk, or what there is of memory for files, is full: make room",
        Errno::PERM | Errno::ACCESS | Errno::NOSYS => {
            "a filter or a setting of the system forbids it: permit mmap, mprotect, madvise and memfd_create to the host \
             (`SystemCallFilter=`, `vm.memfd_noexec`)"
        }
        _ => "look for what the system says of it in its own log",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime::error::Context as _;

    #[test]
    fn an_answer_of_the_system_is_found_under_whatever_was_said_of_it() {
        let of_kernel = Err::<(), _>(Errno::NOMEM).context("cannot grow").unwrap_err();
        assert_eq!(of_system(&of_kernel), Some(Errno::NOMEM));
        assert!(is_of_memory(&of_kernel));
        let of_std = io::Error::from_raw_os_error(Errno::MFILE.raw_os_error());
        let of_std = Err::<(), _>(of_std).context("cannot create").unwrap_err();
        assert_eq!(of_system(&of_std), Some(Errno::MFILE));
        assert_eq!(of_system(&wasmtime::Trap::MemoryOutOfBounds.into()), None);
        assert_eq!(of_system(&io::Error::other("of no system").into()), None);
    }
}
