//! A system without means of confinement that this program knows.

use super::{Confined, Means, Needs};

pub(super) fn host(_: &Needs) -> Confined {
    none()
}

pub(super) fn compiler() -> Confined {
    none()
}

fn none() -> Confined {
    let why = format!("{} on {} is not known here", std::env::consts::ARCH, std::env::consts::OS);
    let gaps = Means::ALL.map(|means| (means, why.clone()));
    Confined { held: Vec::new(), gaps: gaps.into() }
}
