//! The limits that the system has for this process, as it lists them.
//!
//! They are read from a file: `getrlimit` may be refused, for which no crate has an error.

/// The name of a limit in the system's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitName(&'static str);

/// `RLIMIT_CORE`, in bytes.
pub(super) const CORE: LimitName = LimitName("Max core file size");

/// `RLIMIT_CPU`, in seconds.
pub(super) const CPU_TIME: LimitName = LimitName("Max cpu time");

/// `RLIMIT_FSIZE`, in bytes.
pub(super) const FILE_SIZE: LimitName = LimitName("Max file size");

/// `RLIMIT_NOFILE`.
pub const DESCRIPTORS: LimitName = LimitName("Max open files");

/// `RLIMIT_AS`, in bytes.
pub(super) const ADDRESS_SPACE: LimitName = LimitName("Max address space");

/// `RLIMIT_NPROC`: processes and threads of the user.
pub const PROCESSES: LimitName = LimitName("Max processes");

/// The system's list of limits. Empty where the system has none.
#[derive(Debug)]
pub struct ProcessLimits(String);

impl ProcessLimits {
    /// The list of this process, as it is now.
    pub fn of_this() -> Self {
        Self(std::fs::read_to_string("/proc/self/limits").unwrap_or_default())
    }

    /// The limit that holds now. None if there is no limit.
    pub fn soft(&self, name: LimitName) -> Option<u64> {
        self.values(name)?.next()?.parse().ok()
    }

    /// The value that the limit may be raised to. None if there is no limit.
    pub fn hard(&self, name: LimitName) -> Option<u64> {
        self.values(name)?.nth(1)?.parse().ok()
    }

    fn values(&self, name: LimitName) -> Option<impl Iterator<Item = &str>> {
        // A line: "Max processes             40                   96364                processes".
        let values = self.0.lines().find_map(|line| line.strip_prefix(name.0))?;
        Some(values.split_whitespace())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_linux_lists_them() {
        let list = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max processes             40                   96364                processes \n\
                    Max address space         unlimited            unlimited            bytes     \n";
        let limits = ProcessLimits(list.into());
        assert_eq!((limits.soft(PROCESSES), limits.soft(ADDRESS_SPACE)), (Some(40), None));
        assert_eq!(limits.hard(PROCESSES), Some(96364));
        assert_eq!(ProcessLimits(String::new()).soft(PROCESSES), None);
    }
}
