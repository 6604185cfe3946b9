//! `docs/conformance.md`: what both servers do, row by row.

use std::fmt::Write as _;

/// One case, and what came of it.
pub(super) struct Row {
    pub(super) clause: &'static str,
    pub(super) what: &'static str,
    pub(super) must: String,
    pub(super) jackfield: Did,
    pub(super) plain: Did,
}

/// What a server did.
pub(super) struct Did {
    pub(super) told: String,
    pub(super) is_as_demanded: bool,
}

/// A table of them.
pub(super) struct Part {
    pub(super) title: &'static str,
    pub(super) about: &'static str,
    pub(super) rows: Vec<Row>,
}

/// The document.
pub(super) fn document(parts: &[Part]) -> String {
    let mut text = INTRODUCTION.to_owned();
    text += "| | cases | Jackfield does as demanded | plain hyper does |\n|---|---|---|---|\n";
    for Part { title, rows, .. } in parts {
        let [jackfield, plain] =
            [|row: &&Row| row.jackfield.is_as_demanded, |row: &&Row| row.plain.is_as_demanded]
                .map(|did| rows.iter().filter(did).count());
        let _ = writeln!(text, "| {title} | {} | {jackfield} | {plain} |", rows.len());
    }
    text += EXCEPTIONS;
    for Part { title, about, rows } in parts {
        let _ = write!(text, "\n## {title}\n\n{about}\n\n");
        let has_demands = rows.iter().any(|row| !row.must.is_empty());
        text += if has_demands {
            "| clause | sent | must be | Jackfield | plain hyper |\n|---|---|---|---|---|\n"
        } else {
            "| form | hidden by | Jackfield | plain hyper |\n|---|---|---|---|\n"
        };
        for Row { clause, what, must, jackfield, plain } in rows {
            let prefix = if has_demands { "RFC " } else { "" };
            let must = if has_demands { format!(" {must} |") } else { String::new() };
            let _ = writeln!(
                text,
                "| {prefix}{clause} | {what} |{must} {} | {} |",
                jackfield.cell(),
                plain.cell()
            );
        }
    }
    text
}

impl Did {
    fn cell(&self) -> String {
        if self.is_as_demanded { self.told.clone() } else { format!("**{}**", self.told) }
    }
}

const INTRODUCTION: &str = "\
# Conformance

What is sent over raw sockets, what the clause demands, and what comes, from Jackfield and from a plain hyper server
(hyper 1.12 with `hyper-util`'s `auto`, its defaults, and a service that echoes). The suite sends all of it to both, and
expects of Jackfield exactly what stands here. hyper leaves much of it to whoever uses it, and says so: the comparison
shows what a host has to add, and no fault of hyper's. This page is made of the same tables, in `tests/suite/conformance`, by
`SNAPSHOTS=overwrite cargo test --workspace --test suite -- conformance::the_committed_comparison`.

What is not as demanded is **bold**. *Goes on*: the connection is kept, and a request behind was answered. *Closes*: the
server closed it. *Waits*: it did neither within three seconds. An empty demand: the clause leaves it open, or has a
*should*; then either counts. A status that refuses counts as an error of HTTP/2's stream, and an error of the connection
counts with any code: codes are for logs.

";

const EXCEPTIONS: &str = "
Where Jackfield does otherwise, it is because two programs in a row would differ: white space before a chunk's extension is
refused, though it is to be removed. An `https`
target is taken over a connection without TLS, for a proxy may have ended TLS. Of a `:path` with a fragment the fragment is
dropped, and of trailers the pseudo-headers, before a host that stands on h2 sees either; no plugin sees them, and
nothing is forwarded.
";
