//! What a guest does when it has sent its head and a part of its body: paths of `guest_http.wasm`.

/// One way to leave an answer half given.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// What the query's `then` says.
    pub then: &'static str,
    /// What the guest does.
    pub does: &'static str,
    /// The problem that a host notes, for nobody can be told of it any more.
    pub problem: &'static str,
    /// How the call is counted.
    pub counted: &'static str,
}

/// All of them.
pub const CUTS: [Cut; 11] = [
    cut("trap", "Aborts.", "plugin-failed", "trap"),
    cut("panic", "Panics with a secret in its message.", "plugin-failed", "trap"),
    cut("exit", "Exits as if all were well.", "plugin-failed", "trap"),
    cut("fail", "Exits with 1.", "plugin-failed", "trap"),
    cut("loop", "Computes, and never ends.", "cpu", "cpu"),
    cut("sleep", "Sleeps for years.", "stream", "stream"),
    cut("recurse", "Calls itself until there is no stack left.", "plugin-failed", "trap"),
    cut("hoard", "Takes memory until there is none left.", "plugin-failed", "memory"),
    cut("keep-handles", "Makes host resources and keeps them all.", "plugin-failed", "handles"),
    cut("keep", "Returns, its body neither finished nor dropped.", "plugin-answer", "answer"),
    cut("drop", "Drops its body without finishing it.", "plugin-answer", "answer"),
];

const fn cut(then: &'static str, does: &'static str, problem: &'static str, counted: &'static str) -> Cut {
    Cut { then, does, problem, counted }
}

impl Cut {
    /// The path that has the guest do it; with a `length` that is stated, or in chunks.
    pub fn path(&self, length: Option<u32>) -> String {
        let length = length.map(|length| format!("&length={length}")).unwrap_or_default();
        format!("/after-head?then={}{length}", self.then)
    }
}
