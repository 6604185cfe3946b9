//! The changes to a component's code before it is compiled: bulk instructions in pieces, and pages that are mapped.
//!
//! **Pieces.** No instruction computes for long without a look at the epoch. wasmtime runs `memory.fill`, `memory.copy`, `memory.init` and `table.copy` to their end, however long they are,
//! and looks at the epoch only then. So before a component is compiled, each of these instructions that may be longer
//! than a piece is put into a choice: up to a piece it runs as it stands; for more, a function is called that is
//! added to the module (`loops.rs`). The function loops over pieces, with a look at the epoch between two of them. To
//! the guest nothing else changes: an instruction that is out of bounds traps before anything is written, and
//! overlapping ranges are copied from the right end.
//!
//! `table.fill`, `table.init` and `table.grow` stay: over the 100,000 elements that a table may have each takes less
//! than 0.3 ms. A copy takes 9 ms if nothing was read from its source yet, for each function's reference is made
//! then.
//!
//! Data that each new instance copies into its memory is cut as well (`segments.rs`).
//!
//! **Restoring.** Where the host can tell which pages of a memory were written, a component gets parts by which its
//! instances are put back to their start (`restore/`).
//!
//! **Pages.** A new instance reads each page of a small memory, so that a slot is cleared without a system call that
//! takes pages away (`pages.rs`).
//!
//! Takes only components that intake let through. Added parts stand behind all others of their kind, so that no index
//! changes its meaning.

mod encode;
mod function;
mod loops;
mod module;
mod pages;
mod pieces;
pub(super) mod restore;
mod segments;

use std::borrow::Cow;

use wasmparser::Result;

use self::encode::{COMPONENT, CORE_MODULE, sections, write_section};
pub(super) use self::pieces::PIECES;

/// The revision of the changes. It changes whenever the result for a component does, beside [`PIECES`]: compiled code
/// of an earlier revision is of no use then.
pub(super) const REVISION: u32 = 6;

/// A component whose bulk instructions do no more than a piece each. If `reads_pages`, its new instances read the
/// pages of small memories. If `restores`, its instances can be put back to their start, where that can be done.
pub(super) fn rewrite(component: &[u8], reads_pages: bool, restores: bool) -> Result<Cow<'_, [u8]>> {
    let cut = rewrite_modules(component, &|module| module::cut(module, PIECES))?;
    let cut = cut.map_or(Cow::Borrowed(component), Cow::Owned);
    let read = if reads_pages { rewrite_modules(&cut, &pages::read)? } else { None };
    let read = read.map_or(cut, Cow::Owned);
    let restored = if restores { restore::restorable(component, &read)? } else { None };
    Ok(restored.map_or(read, Cow::Owned))
}

/// A component with its modules, those of inner components too, as `rewrite` returns them. None if it returns none.
/// Components stand inside one another at most as deep as intake lets them.
fn rewrite_modules(
    bytes: &[u8],
    rewrite: &impl Fn(&[u8]) -> Result<Option<Vec<u8>>>,
) -> Result<Option<Vec<u8>>> {
    let (preamble, sections) = sections(bytes)?;
    let mut out = preamble.to_vec();
    let mut is_changed = false;
    for section in sections {
        let inside = match section.id {
            CORE_MODULE => rewrite(section.content)?,
            COMPONENT => rewrite_modules(section.content, rewrite)?,
            _ => None,
        };
        match inside {
            Some(content) => {
                is_changed = true;
                write_section(&mut out, section.id, &content);
            }
            None => out.extend_from_slice(section.whole),
        }
    }
    Ok(is_changed.then_some(out))
}

#[cfg(test)]
mod tests;
