//! The pages of a memory that were written, as the kernel tells them, and their first content put back.
//!
//! A memory is registered with a `userfaultfd` that asks nobody: its pages are write-protected, and the first write to
//! a page takes the protection away, inside the kernel (`UFFD_FEATURE_WP_ASYNC`). `PAGEMAP_SCAN` lists the pages
//! without protection, some 2 µs for a mebibyte. Both are of Linux 6.7.
//!
//! A page that was written once stays unprotected, and is put back after every call: a fault costs more than a copy, and
//! a guest writes to the same pages in most of its calls. But the pages of a guest that writes to others in each call
//! would soon be all of them. So where there are many, all are protected again every few calls.
//!
//! The pool must never take a page that is protected for one that was not written. So the end of tracking takes all
//! protection away, before the memory's slot is given back: a [`Tracked`] is dropped before its store.

// The requests of `ioctl` are raw memory to the compiler; and a memory is written while its store is held, but not
// through the store.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

use wasmtime::Store;

use super::image::{Image, PAGE_BYTES};
use super::shown_memory::ShownMemory;

/// The kernel's account of written pages, for this process.
pub(in crate::sandbox) struct WriteTracker {
    faults: OwnedFd,
    pages: File,
}

/// A memory whose written pages are known.
pub(super) struct Tracked {
    tracker: &'static WriteTracker,
    memory: ShownMemory,
    /// The calls since all pages were protected.
    calls: u32,
}

/// The most pages that are put back at once: some 2 ms. An instance that wrote to more is dropped, which takes less.
const MOST_PAGES: usize = 2048;

/// The number of written pages from which it pays to protect all again, and after so many calls.
const MANY_PAGES: usize = 24;
const PROTECTED_FOR_CALLS: u32 = 16;

/// A run of pages that may have been written.
struct Run {
    from: usize,
    to: usize,
    /// All of them are the kernel's page of zeros.
    is_zeros: bool,
    /// None of them was ever touched.
    is_untouched: bool,
}

/// The structure `uffdio_range` of linux/userfaultfd.h.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Range {
    start: u64,
    len: u64,
}

impl Range {
    fn of(memory: ShownMemory) -> Self {
        Self { start: memory.address as u64, len: memory.bytes as u64 }
    }
}

/// `uffdio_api`.
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `uffdio_register`.
#[repr(C)]
struct Register {
    range: Range,
    mode: u64,
    ioctls: u64,
}

/// `uffdio_writeprotect`.
#[repr(C)]
struct WriteProtect {
    range: Range,
    mode: u64,
}

/// `pm_scan_arg` of linux/fs.h.
#[repr(C)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `page_region`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

const UFFD_API: u64 = 0xaa;
const UFFD_USER_MODE_ONLY: libc::c_int = 1;
const FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
const FEATURE_WP_ASYNC: u64 = 1 << 15;
const REGISTER_MODE_WP: u64 = 1 << 1;
const WRITEPROTECT_MODE_WP: u64 = 1;

const PAGE_IS_WRITTEN: u64 = 1 << 1;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
const PAGE_IS_PFNZERO: u64 = 1 << 5;

/// The requests, as the macros of linux/ioctl.h make them: direction, size, kind and number.
const fn request(direction: u64, size: usize, kind: u8, number: u64) -> u64 {
    direction << 30 | (size as u64) << 16 | (kind as u64) << 8 | number
}
const READ: u64 = 2;
const READ_WRITE: u64 = 3;
const UFFDIO_API: u64 = request(READ_WRITE, size_of::<Api>(), 0xaa, 0x3f);
const UFFDIO_REGISTER: u64 = request(READ_WRITE, size_of::<Register>(), 0xaa, 0);
const UFFDIO_UNREGISTER: u64 = request(READ, size_of::<Range>(), 0xaa, 1);
const UFFDIO_WRITEPROTECT: u64 = request(READ_WRITE, size_of::<WriteProtect>(), 0xaa, 6);
const PAGEMAP_SCAN: u64 = request(READ_WRITE, size_of::<Scan>(), b'f', 16);

/// The regions that one scan returns at most; a scan that has more goes on where it ended.
const REGIONS: usize = 32;

impl WriteTracker {
    /// The tracker of this process. None if the system has none, or does not permit it. It is opened at the first
    /// call, which is to be made before the process gives up its right to do so.
    pub(in crate::sandbox) fn of_this_process() -> Option<&'static Self> {
        static TRACKER: OnceLock<Option<WriteTracker>> = OnceLock::new();
        TRACKER.get_or_init(|| Self::open().ok()).as_ref()
    }

    fn open() -> io::Result<Self> {
        if rustix::param::page_size() != PAGE_BYTES {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK | UFFD_USER_MODE_ONLY;
        // SAFETY: the call takes flags alone.
        let opened = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let descriptor = libc::c_int::try_from(opened).ok().filter(|descriptor| *descriptor >= 0);
        let descriptor = descriptor.ok_or_else(io::Error::last_os_error)?;
        // SAFETY: the kernel has just opened this descriptor, and nobody else has it.
        let faults = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let features = FEATURE_WP_ASYNC | FEATURE_WP_UNPOPULATED;
        control(&faults, UFFDIO_API, &mut Api { api: UFFD_API, features, ioctls: 0 })?;
        let tracker = Self { faults, pages: File::open("/proc/self/pagemap")? };
        // An empty range: this asks only if the system can scan.
        tracker.scan(0, 0, true, |_| ())?;
        Ok(tracker)
    }

    /// Puts a memory back that was not tracked so far, and tracks it from then on.
    pub(super) fn put_back_and_track<T>(
        &'static self,
        store: &mut Store<T>,
        memory: ShownMemory,
        image: &Image,
    ) -> io::Result<Tracked> {
        self.put_back(store, memory, image, false)?;
        let range = Range::of(memory);
        // From here on, whatever fails, the range is given back: a registration that fails may have done a part of it.
        let tracked = Tracked { tracker: self, memory, calls: 0 };
        let mut register = Register { range, mode: REGISTER_MODE_WP, ioctls: 0 };
        control(&self.faults, UFFDIO_REGISTER, &mut register)?;
        tracked.protect()?;
        Ok(tracked)
    }

    /// Puts the written pages of a memory back. Returns their number.
    fn put_back<T>(
        &self,
        _store: &mut Store<T>,
        memory: ShownMemory,
        image: &Image,
        is_tracked: bool,
    ) -> io::Result<usize> {
        let begin = memory.address;
        let end = begin.saturating_add(memory.bytes);
        let mut pages = 0_usize;
        self.scan(begin, end, is_tracked, |Run { from, to, is_zeros, is_untouched }| {
            // The kernel names pages that were never touched as written, where any beside them was. They still have their
            // first content.
            if is_untouched && !is_tracked {
                return;
            }
            let (from, to) = (from.saturating_sub(begin), to.saturating_sub(begin));
            for offset in (from..to.min(memory.bytes)).step_by(PAGE_BYTES) {
                let number = offset / PAGE_BYTES;
                if is_zeros && image.is_zeros(number) {
                    continue;
                }
                pages = pages.saturating_add(1);
                if pages > MOST_PAGES {
                    return;
                }
                let page = image.page(number).as_ptr();
                // SAFETY: the instance has shown this memory, with this length, since its store was last left. So the
                // page is mapped, and can be written. The store is borrowed: no guest runs, and nobody else has a
                // reference into the memory.
                unsafe { memory.byte(offset).copy_from_nonoverlapping(page, PAGE_BYTES) };
            }
        })?;
        if pages > MOST_PAGES { Err(io::ErrorKind::QuotaExceeded.into()) } else { Ok(pages) }
    }

    /// Calls `each` with each run of pages that may have been written.
    fn scan(&self, begin: usize, end: usize, is_tracked: bool, mut each: impl FnMut(Run)) -> io::Result<()> {
        // Of a memory that is not tracked, no page is protected: those that were only read are pages of the file that
        // the memory's first content is mapped from, or the kernel's page of zeros. The kernel may put the latter in
        // the place of a page that was written, too, if that holds zeros (KSM, huge pages that are split).
        let only_read = if is_tracked { 0 } else { PAGE_IS_FILE };
        let mut from = begin as u64;
        loop {
            let mut regions = [Region::default(); REGIONS];
            let mut scan = Scan {
                size: size_of::<Scan>() as u64,
                flags: 0,
                start: from,
                end: end as u64,
                walk_end: 0,
                vec: regions.as_mut_ptr().expose_provenance() as u64,
                vec_len: REGIONS as u64,
                max_pages: 0,
                category_inverted: only_read,
                category_mask: PAGE_IS_WRITTEN | only_read,
                category_anyof_mask: 0,
                // Not `PAGE_IS_WRITTEN`: Linux 6.7 and 6.8 take another way for that, on which they overlook pages that
                // were written and are in swap.
                return_mask: if is_tracked { 0 } else { PAGE_IS_PFNZERO | PAGE_IS_PRESENT | PAGE_IS_SWAPPED },
            };
            let found = control(&self.pages, PAGEMAP_SCAN, &mut scan)?;
            for region in regions.iter().take(found) {
                let address = |address: u64| usize::try_from(address).unwrap_or(end);
                let (from, to) = (address(region.start), address(region.end));
                let is = |categories: u64| region.categories & categories != 0;
                let is_untouched = !is(PAGE_IS_PRESENT | PAGE_IS_SWAPPED);
                each(Run { from, to, is_zeros: is(PAGE_IS_PFNZERO), is_untouched });
            }
            if scan.walk_end >= end as u64 || found == 0 {
                return Ok(());
            }
            from = scan.walk_end;
        }
    }
}

impl Tracked {
    /// Puts the pages back that were written since all were protected.
    pub(super) fn put_back<T>(&mut self, store: &mut Store<T>, image: &Image) -> io::Result<()> {
        let pages = self.tracker.put_back(store, self.memory, image, true)?;
        self.calls = self.calls.saturating_add(1);
        if pages >= MANY_PAGES && self.calls >= PROTECTED_FOR_CALLS {
            self.calls = 0;
            self.protect()?;
        }
        Ok(())
    }

    /// Protects all pages.
    fn protect(&self) -> io::Result<()> {
        let mut protect = WriteProtect { range: Range::of(self.memory), mode: WRITEPROTECT_MODE_WP };
        control(&self.tracker.faults, UFFDIO_WRITEPROTECT, &mut protect).map(drop)
    }
}

impl Drop for Tracked {
    fn drop(&mut self) {
        let ended = control(&self.tracker.faults, UFFDIO_UNREGISTER, &mut Range::of(self.memory));
        if ended.is_err() {
            // A page that stays protected would count as not written, and the next instance in this slot would find
            // it as this one left it. A write takes the protection away.
            for offset in (0..self.memory.bytes).step_by(PAGE_BYTES) {
                // SAFETY: the memory's store is dropped after this, and no guest runs in it any more.
                unsafe {
                    let byte = self.memory.byte(offset);
                    byte.write_volatile(byte.read_volatile());
                }
            }
        }
    }
}

/// One `ioctl` with a structure of its request's kind.
fn control<T>(file: &impl AsRawFd, request: u64, argument: &mut T) -> io::Result<usize> {
    // SAFETY: `argument` is a structure of the kind that the request reads and writes, and lives until the call is
    // over. The requests in this file act on memory that wasmtime has mapped, and change no content.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), request, std::ptr::from_mut(argument)) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
