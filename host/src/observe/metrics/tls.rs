//! TLS: the metrics of handshakes and certificates.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// The result of a TLS handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handshake {
    /// A full handshake made the session.
    Full,
    /// The session of an earlier connection was resumed.
    Resumed,
    /// The handshake failed.
    Failed,
}

impl Handshake {
    pub(super) const ALL: [Self; 3] = [Self::Full, Self::Resumed, Self::Failed];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Failed => "failed",
        }
    }
}

/// The certificates in use, by their first names, with their ends, in seconds since 1970.
#[derive(Debug, Clone, Default)]
pub(super) struct Certificates(Arc<Mutex<BTreeMap<String, i64>>>);

impl Certificates {
    /// Sets the certificates. Of several with the same name, the one that ends first counts.
    pub(super) fn set(&self, ends: impl Iterator<Item = (String, i64)>) {
        let mut first_ends = BTreeMap::new();
        for (name, end) in ends {
            let first = first_ends.entry(name).or_insert(end);
            *first = end.min(*first);
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = first_ends;
    }
}

impl Collector for Certificates {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "When a certificate in use ends, since 1970, by the first of its names.";
        let unit = Some(&Unit::Seconds);
        let mut family =
            encoder.encode_descriptor("tls_certificate_expiry", help, unit, MetricType::Gauge)?;
        let ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.iter()
            .try_for_each(|(name, end)| family.encode_family(&[("name", name.as_str())])?.encode_gauge(end))
    }
}
