//! The handle of a wire: the connection's view of its socket, and its commands to the wire.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A connection's handle of its wire; every layer that takes part in the connection's end has a clone.
#[derive(Debug, Default)]
pub(in crate::listen) struct WireHandle {
    state: Mutex<State>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct State {
    signs: WireSigns,
    has_client_ended: bool,
    must_look: bool,
    close: Close,
    is_broken_off: bool,
}

/// The signs of a client that takes its responses.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::listen) struct WireSigns {
    /// The bytes that the client has taken so far, of any kind.
    pub(in crate::listen) written_bytes: u64,
    pub(in crate::listen) writing: Writing,
}

/// The state of writing to a client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::listen) enum Writing {
    /// No write waits.
    #[default]
    Free,
    /// A write waits for the client to take something.
    Waiting,
    /// The client took too little, or nothing, for too long.
    Stalled,
}

/// The way in which a socket is closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Close {
    #[default]
    AtOnce,
    /// Bytes that the client still sends are read for a while.
    Lingering,
    /// The connection is reset.
    Reset,
}

/// An event that a layer reports of the socket.
#[derive(Debug, Clone, Copy)]
pub(in crate::listen) enum WireEvent {
    /// The client has taken this many bytes.
    Wrote(usize),
    /// Writing has come to wait, goes on, or is given up.
    Writing(Writing),
    /// The client sends nothing more.
    ClientEnded,
}

/// A command of a connection to its wire.
#[derive(Debug, Clone, Copy)]
pub(in crate::listen) enum WireCommand {
    /// Check, at the next flush, whether the client is still there.
    LookForClient,
    /// Every body was read: close at once.
    CloseAtOnce,
    /// A body may be unread: read on for a while when closing.
    CloseLingering,
    /// A response is broken off: reset the connection in the end.
    Reset,
}

impl WireHandle {
    pub(in crate::listen) fn report(&self, event: WireEvent) {
        let mut state = self.state();
        match event {
            WireEvent::Wrote(bytes) => {
                let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
                state.signs.written_bytes = state.signs.written_bytes.saturating_add(bytes);
            }
            WireEvent::Writing(writing) => state.signs.writing = writing,
            WireEvent::ClientEnded => {
                if !std::mem::replace(&mut state.has_client_ended, true) {
                    self.ended.notify_one();
                }
            }
        }
    }

    pub(in crate::listen) fn command(&self, command: WireCommand) {
        let mut state = self.state();
        match command {
            WireCommand::LookForClient => state.must_look = true,
            WireCommand::CloseAtOnce => state.close = Close::AtOnce,
            WireCommand::CloseLingering => state.close = Close::Lingering,
            WireCommand::Reset => state.is_broken_off = true,
        }
    }

    pub(in crate::listen) fn signs(&self) -> WireSigns {
        self.state().signs
    }

    /// Ready once, when the client sends nothing more.
    pub(in crate::listen) async fn client_ended(&self) {
        self.ended.notified().await;
    }

    /// Takes the command to check for the client: true if there is one.
    pub(super) fn take_look(&self) -> bool {
        std::mem::take(&mut self.state().must_look)
    }

    pub(super) fn close(&self) -> Close {
        let state = self.state();
        if state.is_broken_off { Close::Reset } else { state.close }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
