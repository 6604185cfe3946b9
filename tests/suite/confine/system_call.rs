//! One system call by its number, to see what becomes of it.
//!
//! Owns the suite's only unsafe code. Which calls are harmless even where nothing denies them is for the caller to
//! choose.
#![allow(unsafe_code)]

use rustix::io::Errno;

/// Makes the call with three plain numbers and nothing behind them.
pub(super) fn system_call(number: libc::c_long, arguments: [libc::c_long; 3]) -> Result<(), Errno> {
    let [first, second, third] = arguments;
    // SAFETY: no argument is an address, but for zeroes, which the kernel does not follow. Nothing of this process's
    // memory is given away or changed, and what a call would open is not used.
    let result = unsafe { libc::syscall(number, first, second, third, 0, 0, 0) };
    if result >= 0 {
        return Ok(());
    }
    let error = std::io::Error::last_os_error();
    Err(Errno::from_io_error(&error).expect("a failed call leaves its number"))
}
