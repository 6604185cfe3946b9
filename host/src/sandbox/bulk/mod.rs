//! Bulk instructions in pieces, so that none computes for long before its guest is looked at.
//!
//! wasmtime runs `memory.fill`, `memory.copy`, `memory.init` and `table.copy` to their end, however long they are, and
//! looks at the epoch only then. So before a component is compiled each of them that may be longer than a piece is put into a choice:
//! what fits one piece is done as it stands, the rest by a function that is added to the module (`loops.rs`) and loops
//! over pieces, with the epoch looked at in between. To the guest nothing else changes: what is out of bounds traps
//! before anything is written, and what overlaps is copied from the right end.
//!
//! `table.fill`, `table.init` and `table.grow` stay: over the 100,000 elements that a table may have each takes less than
//! 0.3 ms. A copy takes 9 ms if nothing was read from its source yet, for each function's reference is made then.
//!
//! The same goes for data that each new instance copies into its memory (`segments.rs`).
//!
//! Takes what intake let through. What is added stands behind all that was there, so that no index means anything else.

mod encode;
mod function;
mod loops;
mod module;
mod pieces;
mod segments;

use std::borrow::Cow;

use wasmparser::Result;

use self::encode::{sections, write_section};
use self::pieces::Pieces;

pub(super) use self::pieces::PIECES;

/// Changes whenever what is made of a component does, beside [`PIECES`]: code that was compiled before is of no use then.
pub(super) const REVISION: u32 = 1;

/// Sections of a component that have others inside.
const CORE_MODULE: u8 = 1;
const COMPONENT: u8 = 4;

/// A component whose bulk instructions do no more than a piece each.
pub(super) fn cut(component: &[u8]) -> Result<Cow<'_, [u8]>> {
    let cut = cut_component(component, PIECES)?;
    Ok(cut.map_or(Cow::Borrowed(component), Cow::Owned))
}

/// None if there is nothing to cut. Components stand inside one another at most as deep as intake lets them.
fn cut_component(bytes: &[u8], pieces: Pieces) -> Result<Option<Vec<u8>>> {
    let (preamble, sections) = sections(bytes)?;
    let mut out = preamble.to_vec();
    let mut is_cut = false;
    for section in sections {
        let inside = match section.id {
            CORE_MODULE => module::cut(section.content, pieces)?,
            COMPONENT => cut_component(section.content, pieces)?,
            _ => None,
        };
        match inside {
            Some(content) => {
                is_cut = true;
                write_section(&mut out, section.id, &content);
            }
            None => out.extend_from_slice(section.whole),
        }
    }
    Ok(is_cut.then_some(out))
}

#[cfg(test)]
mod tests;
