//! Random components, written to a folder: each is made from its number alone, so it can be made again.
//!
//! Every second one is whatever wasm-smith comes upon as a component. The others are handlers that instantiate and can
//! be called: a random core module in a component that is well formed (`handler.wat`), among whose imports are some of
//! the host's.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use arbitrary::{Arbitrary, Unstructured};
use wasm_smith::{Component, Config, Module};

const USAGE: &str = "usage: random-components FOLDER [COUNT] [FIRST]";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context(USAGE)?);
    let count: u64 = arguments.next().map_or(Ok(100), |count| count.parse()).context(USAGE)?;
    let first: u64 = arguments.next().map_or(Ok(0), |first| first.parse()).context(USAGE)?;
    std::fs::create_dir_all(&folder)?;
    let handler = Handler::new()?;
    let mut written = 0;
    for number in first..first.saturating_add(count) {
        let mut numbers = Numbers(number.wrapping_mul(0x9e37_79b9));
        let random = numbers.bytes();
        // A number of which no component can be made is left out.
        if let Ok(bytes) = make(&handler, number, &mut Unstructured::new(&random)) {
            std::fs::write(folder.join(format!("{number:05}.wasm")), bytes)?;
            written += 1;
        }
    }
    println!("{written} components are in {}", folder.display());
    Ok(())
}

fn make(handler: &Handler, number: u64, random: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    if number % 2 == 0 {
        let any = if number % 4 == 0 { Config::arbitrary(random)? } else { Config::default() };
        return Ok(Component::new(config(any), random)?.to_bytes());
    }
    // Not one of the swarm: their bounds may leave no room for what the shape asks for.
    let config = Config {
        module_shape: Some(handler.shape.clone()),
        disallow_traps: number % 4 == 1,
        ..config(Config::default())
    };
    let module = Module::new(config, random)?;
    Ok(handler.around(&module.to_bytes()))
}

/// Without the proposals that no plugin may use: intake would refuse nearly all.
fn config(any: Config) -> Config {
    Config {
        custom_descriptors_enabled: false,
        custom_page_sizes_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        // They would bring `externref`, which is the garbage collector's.
        reference_types_enabled: false,
        relaxed_simd_enabled: false,
        shared_everything_threads_enabled: false,
        threads_enabled: false,
        wide_arithmetic_enabled: false,
        allow_invalid_funcs: false,
        // So that a pool's slot holds it.
        max_memory32_bytes: 64 << 20,
        max_table_elements: 10_000,
        max_instructions: 500,
        ..any
    }
}

/// The component that a random core module is put into.
struct Handler {
    before: Vec<u8>,
    after: Vec<u8>,
    /// A module with the imports and exports that the random one needs.
    shape: Vec<u8>,
}

impl Handler {
    fn new() -> Result<Self> {
        let component = wat::parse_str(include_str!("handler.wat"))?;
        let mut modules = 0;
        // Behind the preamble.
        let mut at = 8;
        while at < component.len() {
            let (id, length_at) = (component[at], at + 1);
            let (length, content_at) = number_at(&component, length_at)?;
            let end = content_at + length;
            if id == CORE_MODULE {
                modules += 1;
                if modules == 2 {
                    return Ok(Self {
                        before: component[..at].to_vec(),
                        after: component[end..].to_vec(),
                        shape: component[content_at..end].to_vec(),
                    });
                }
            }
            at = end;
        }
        bail!("handler.wat has no second core module")
    }

    fn around(&self, module: &[u8]) -> Vec<u8> {
        [&self.before, &[CORE_MODULE][..], &number(module.len()), module, &self.after].concat()
    }
}

/// The section of one core module.
const CORE_MODULE: u8 = 1;

/// A LEB128 number, and where what follows it begins.
fn number_at(bytes: &[u8], mut at: usize) -> Result<(usize, usize)> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = *bytes.get(at).context("a number breaks off")?;
        number |= usize::from(byte & 0x7f) << shift;
        at += 1;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok((number, at));
        }
    }
}

fn number(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The generator SplitMix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 256 bytes to 8 KiB: the fewer, the smaller is what is made of them.
    fn bytes(&mut self) -> Vec<u8> {
        let words = 32 << (self.next() % 6);
        (0..words).flat_map(|_| self.next().to_le_bytes()).collect()
    }
}
