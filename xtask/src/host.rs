//! The program `jackfield` as the demo runs it and the tests start it: how it is built, and where it then is.

use std::path::PathBuf;

use anyhow::Result;

use crate::cargo::{step, target_folder};
use crate::toolchain::host_cargo;

/// The packages whose programs are built: the host's alone, for the others have none. They are named because packages that
/// are named together decide on the features of what they depend on. With these the features are those of the whole
/// workspace (`redirect` brings those of the macros), so what the demo has built, the tests need not build again.
const PACKAGES: [&str; 3] = ["jackfield", "jackfield-tests", "redirect"];

/// Builds the host, and nothing that it does not need.
pub(crate) fn build() -> Result<()> {
    let packages = PACKAGES.iter().flat_map(|package| ["--package", package]);
    step(
        "building the host (the first time takes minutes)",
        &mut host_cargo(["build", "--bins"].into_iter().chain(packages))?,
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
