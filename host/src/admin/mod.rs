//! The admin API.
//!
//! | file | owns |
//! |---|---|
//! | `client/` | the API as the command line asks it |

pub mod client;
