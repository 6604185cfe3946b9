//! Memory of another process, sent to swap by process_madvise(2).
//!
//! Owns the one unsafe call that this takes. Which pages these are for the kernel to choose: it leaves those in RAM
//! that several processes share.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// Ranges that one call may name: `IOV_MAX`.
const MAX_RANGES: usize = 1024;

/// Asks the kernel to swap out all that this process has of private, writable memory.
pub(super) fn page_out(process: u32) -> std::io::Result<()> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process has an id");
    let process_handle = pidfd_open(pid, PidfdFlags::empty())?;
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
    let ranges: Vec<libc::iovec> = maps.lines().filter_map(writable_range).collect();
    for ranges in ranges.chunks(MAX_RANGES) {
        // SAFETY: the addresses are another process's, and this one's memory is neither read nor written. The advice
        // changes no content of that one either: a page that is touched again is read back.
        let advised = unsafe {
            libc::syscall(
                libc::SYS_process_madvise,
                process_handle.as_raw_fd(),
                ranges.as_ptr(),
                ranges.len(),
                libc::MADV_PAGEOUT,
                0,
            )
        };
        if advised < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Of a line of proc_pid_maps(5): `7f00-7f10 rw-p …`.
fn writable_range(line: &str) -> Option<libc::iovec> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (address(start)?, address(end)?);
    let range = libc::iovec { iov_base: start as *mut libc::c_void, iov_len: end.checked_sub(start)? };
    rest.starts_with("rw-p").then_some(range)
}
