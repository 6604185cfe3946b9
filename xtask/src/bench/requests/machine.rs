//! The machine that the figures are of.

use std::fs;

use anyhow::{Context, Result};
use time::OffsetDateTime;

/// One line: processor, cores, system, load average, day.
pub(super) fn describe() -> Result<String> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let processors = read("/proc/cpuinfo")?;
    let kernel = read("/proc/sys/kernel/osrelease")?;
    let load = read("/proc/loadavg")?;
    Ok(format!(
        "{}, {} CPUs, Linux {}; load average at the start {}; {}",
        model(&processors).unwrap_or("processor unknown"),
        std::thread::available_parallelism()?,
        kernel.trim(),
        load.split(' ').next().unwrap_or_default(),
        OffsetDateTime::now_utc().date()
    ))
}

/// The first processor's name, if the system gives one.
fn model(processors: &str) -> Option<&str> {
    let line = processors.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim())
}

#[cfg(test)]
mod tests {
    use super::{describe, model};

    #[test]
    fn the_processor_is_named_where_the_system_names_it() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 9B14\nstepping\t: 1\nmodel name\t: other\n";
        assert_eq!(model(text), Some("AMD EPYC 9B14"));
        assert_eq!(model("processor\t: 0\nBogoMIPS\t: 243\n"), None);
    }

    #[test]
    fn this_machine_is_described() {
        let line = describe().unwrap();
        assert!(line.contains("CPUs, Linux ") && line.contains("load average at the start "), "{line}");
    }
}
