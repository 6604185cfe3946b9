//! The codecs and their settings: `measures_codecs` in `tests.rs` measures what they cost and save.

use compression_codecs::brotli::params::EncoderParams;
use compression_codecs::core::Level;
use compression_codecs::zstd::params::CParameter;
use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZstdEncoder};

use crate::snapshot::Coding;

/// The most memory of one encoder, with the pieces of its body.
pub const ENCODER_BYTES: u64 = 2 << 20;

const ZSTD_LEVEL: i32 = 3;
const BROTLI_QUALITY: i32 = 4;
const GZIP_LEVEL: i32 = 5;

/// The largest windows, as powers of two. Brotli keeps, beside its window, the commands of twice as many bytes.
const ZSTD_WINDOW: u32 = 18;
const BROTLI_WINDOW: u32 = 17;

/// The smallest window that each codec knows.
const LEAST_WINDOW: u32 = 10;

/// An encoder of this coding for a body of so many bytes, if their number is known: a smaller window is made sooner.
pub(super) fn new(coding: Coding, bytes: Option<usize>) -> Box<dyn EncodeV2 + Send> {
    match coding {
        Coding::Zstd => {
            let window = CParameter::window_log(window(bytes, ZSTD_WINDOW));
            Box::new(ZstdEncoder::new_with_params(ZSTD_LEVEL, &[window]))
        }
        Coding::Brotli => {
            let parameters = EncoderParams::default()
                .quality(Level::Precise(BROTLI_QUALITY))
                .window_size(i32::try_from(window(bytes, BROTLI_WINDOW)).unwrap_or_default());
            Box::new(BrotliEncoder::new(parameters))
        }
        Coding::Gzip => Box::new(GzipEncoder::new(Level::Precise(GZIP_LEVEL).into())),
    }
}

pub(super) fn window(bytes: Option<usize>, most: u32) -> u32 {
    let needed = bytes.and_then(usize::checked_next_power_of_two).map_or(most, usize::ilog2);
    needed.clamp(LEAST_WINDOW, most)
}
