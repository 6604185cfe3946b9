//! The program `jackfield` as the demo runs it and the tests start it: how it is built, and where it then is.

use std::path::PathBuf;

use anyhow::Result;

use crate::cargo::{step, target_folder};
use crate::toolchain::host_cargo;

/// Builds the host.
///
/// Of the whole workspace, though only the host is wanted: the packages that are built together decide on the
/// features of what they depend on. So wasmtime is built once, alike for the demo and the tests.
pub(crate) fn build() -> Result<()> {
    step(
        "building the host (the first time takes minutes)",
        &mut host_cargo(["build", "--workspace", "--bins"])?,
        "the compiler's messages above say what to mend; a C compiler (`cc`) has to be there",
    )
}

/// Builds the host without incremental compilation, as continuous integration does. With it the code is cut into other
/// units, and other calls are inlined.
pub(crate) fn build_whole() -> Result<()> {
    step(
        "building the host, not incrementally",
        host_cargo(["build", "--workspace", "--bins"])?.env("CARGO_INCREMENTAL", "0"),
        "the compiler's messages above say what to mend; a C compiler (`cc`) has to be there",
    )
}

/// Where [`build`] puts it.
pub(crate) fn program() -> PathBuf {
    target_folder().join("debug").join("jackfield")
}
