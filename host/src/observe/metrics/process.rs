//! The operating system's figures of this process, under the names that every exporter uses.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;
use rustix::time::{ClockId, clock_gettime};

/// The collector that reads the process's figures at each scrape.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "CPU time that the process has used.";
        let mut family =
            encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, f64, f64>(&cpu().as_secs_f64(), None)?;

        if let Some(bytes) = resident_bytes() {
            let help = "Memory of the process that is in RAM.";
            let mut family = encoder.encode_descriptor(
                "process_resident_memory",
                help,
                Some(&Unit::Bytes),
                MetricType::Gauge,
            )?;
            family.encode_gauge(&bytes)?;
        }
        Ok(())
    }
}

/// The means that confine the process, each with its state. Empty until one is set.
#[derive(Debug, Clone, Default)]
pub(super) struct Confinement(Arc<Mutex<BTreeMap<&'static str, bool>>>);

impl Confinement {
    pub(super) fn set(&self, means: &'static str, holds: bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(means, holds);
    }
}

impl Collector for Confinement {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Whether the process is confined by this means of the system.";
        let mut family = encoder.encode_descriptor("confined", help, None, MetricType::Gauge)?;
        let means = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        means.iter().try_for_each(|(means, holds)| {
            family.encode_family(&[("by", *means)])?.encode_gauge(&i64::from(*holds))
        })
    }
}

fn cpu() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// The resident memory; `None` without `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.trim().strip_suffix(" kB")?;
    kib.trim().parse::<u64>().ok()?.checked_mul(1024)
}
