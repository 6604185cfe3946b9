//! The interfaces by which a component is a plug.

use serde::{Deserialize, Serialize};

use crate::observe::Plug;

/// An interface by which a component is a plug. A patch release of the same minor version is the same interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interface {
    /// `jackfield:plugin/handler`: buffered messages.
    Handler,
    /// `wasi:http/incoming-handler` 0.2: streamed messages.
    IncomingHandler,
    /// `jackfield:plugin/request-filter`.
    RequestFilter,
    /// `jackfield:plugin/response-filter`.
    ResponseFilter,
}

impl Interface {
    /// Every interface. If a component exports two for the same plug, the first is used.
    pub const ALL: [Self; 4] =
        [Self::Handler, Self::IncomingHandler, Self::RequestFilter, Self::ResponseFilter];

    /// The interface's full name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handler => "jackfield:plugin/handler@0.1.0",
            Self::IncomingHandler => "wasi:http/incoming-handler@0.2.0",
            Self::RequestFilter => "jackfield:plugin/request-filter@0.1.0",
            Self::ResponseFilter => "jackfield:plugin/response-filter@0.1.0",
        }
    }

    /// The plug that a component with this export can be.
    pub fn plug(self) -> Plug {
        match self {
            Self::Handler | Self::IncomingHandler => Plug::Handler,
            Self::RequestFilter => Plug::RequestFilter,
            Self::ResponseFilter => Plug::ResponseFilter,
        }
    }
}
