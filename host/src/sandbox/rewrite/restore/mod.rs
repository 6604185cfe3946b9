//! The parts of a component by which its instances can be put back to their start (`sandbox/restore/`).
//!
//! A component that can be put back gets one more core module, which sees the memory and the globals of all others:
//!
//! | export of the component | what it does |
//! |---|---|
//! | [`BEGIN`] | saves the globals, gives the memory room to grow (`growth.rs`), and shows the host the memory ([`HOST`]) |
//! | [`RESTORE`] | sets the globals to what was saved, brings the table of handles into its first order, and shows the memory again |
//!
//! **What can be put back.** All that a call can change in an instance must be known: one memory, of at most
//! `RESTORED_MEMORY_BYTES`; globals that are numbers; and handles of resources, which the host knows the end of. So a
//! component has no such parts if an instruction of it can change a table or drop a segment, if it defines resources,
//! or if modules stand in inner components. Each of its modules is instantiated once.
//!
//! **Handles.** Numbers of handles that were given back are given again, the last first. So their order would tell
//! the next call of the last. [`RESTORE`] takes as many handles as the call can have had, and gives them back from
//! the last to the first. If the guest still has one, the numbers are not those that it expects, and it traps.
//!
//! `reading.rs` finds out if a component can be put back, `parts.rs` adds the parts, and `growth.rs` changes how a guest
//! grows its memory.

mod growth;
mod parts;
mod reading;

pub(super) use parts::restorable;
pub(in crate::sandbox) use parts::{BEGIN, HOST, MEMORY, RESTORE, has_own_names};
