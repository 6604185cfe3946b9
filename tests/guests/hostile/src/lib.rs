//! Guests that mean harm, each in one way: a small file that says what it does, and what a host promises to make of it.
//!
//! Owns reading these files, and the two forms in which the text of a core module becomes a component: a
//! `jackfield:plugin/handler`, and a `wasi:http/incoming-handler`, which other hosts run as well. Knows no host: who
//! calls them is the suite's.
//!
//! `NAME.wat` is such a text. It has a function `$attack`, which is called before an answer of 200 is given; or it has
//! what `form.rs` lists, in place of what is usual. `NAME.txt` is a path of a guest that is written in Rust. Either
//! begins with a sentence on what it does, and goes on with lines `;; key: value`:
//!
//! | key | says |
//! |---|---|
//! | `promised` | the status of its answer and, if the host gives it, the problem: `504 cpu` |
//! | `counted` | how the metrics count the call |
//! | `logged` | words that the log has of it |
//! | `says` | words of the answer's body |
//! | `form` | the only form that it has: `lean` or `http` |
//! | `limits`, `grants` | what its plugin has in a site file, beyond what all have |
//! | `calls` | how often it is called, if once does not show it |
//! | `built`, `path` | the file of a guest written in Rust, and what it is asked |

mod cut;
mod form;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

pub use cut::{CUTS, Cut};
pub use form::{Form, TYPES};

/// The `cpu` of guests that are to exceed it: little, so that each fails soon.
const SHORT_CPU: &str = "10ms";

/// The `cpu` of all others. What memory costs varies tenfold with the state of the machine.
const AMPLE_CPU: &str = "500ms";

/// The other limits of every guest, unless its file says otherwise: little, so that each fails soon.
const LIMITS: [(&str, &str); 5] = [
    ("wall", "10s"),
    ("stream", "300ms"),
    ("memory", "16MiB"),
    ("request-body", "64KiB"),
    ("response-body", "1MiB"),
];

/// The folders, in the order in which a reader wants them.
pub const FAMILIES: [&str; 15] = [
    "cpu", "wall", "memory", "tables", "handles", "answers", "headers", "status", "bodies", "trailers",
    "logs", "traps", "exits", "state", "reach",
];

/// What a host promises its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The status of the answer.
    pub status: u16,
    /// The last part of the problem's type, if the host answers.
    pub problem: Option<String>,
    /// How the call is counted.
    pub counted: String,
    /// Words of the log, if it says anything of it.
    pub logged: Option<String>,
    /// Words of the answer's body, if it is the guest's.
    pub says: Option<String>,
}

/// What of it is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The text of a core module.
    Text(String),
    /// A guest written in Rust.
    Built {
        /// Its file: `guest_http.wasm`.
        file: String,
        /// Path and query that it is asked.
        path: String,
    },
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Guest {
    /// What its family abuses.
    pub family: &'static str,
    /// Its name within the family.
    pub name: String,
    /// What it does, in a sentence.
    pub does: String,
    /// What must come of it.
    pub promise: Promise,
    /// The forms that it has.
    pub forms: Vec<Form>,
    /// Entries of its plugin's `limits`.
    pub limits: Option<String>,
    /// Entries of its plugin's `grants`.
    pub grants: Option<String>,
    /// How often it is called.
    pub calls: u32,
    /// What it is.
    pub source: Source,
}

impl Guest {
    /// What stands in `limits` of its plugin in a site file: its own, and those that all have.
    pub fn site_limits(&self) -> String {
        let own = self.limits.clone().unwrap_or_default();
        let exceeds_cpu = self.promise.problem.as_deref() == Some("cpu") || self.promise.counted == "cpu";
        let cpu = ("cpu", if exceeds_cpu { SHORT_CPU } else { AMPLE_CPU });
        let others = [cpu].into_iter().chain(LIMITS);
        let others = others.filter(|(name, _)| !own.contains(&format!("{name} =")));
        let others = others.map(|(name, value)| format!("{name} = \"{value}\""));
        Some(own.clone())
            .filter(|own| !own.is_empty())
            .into_iter()
            .chain(others)
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// A text's component in this form.
    ///
    /// # Errors
    /// If the text is not right.
    pub fn component(text: &str, form: Form) -> Result<Vec<u8>> {
        wat::parse_str(form.component(text)).with_context(|| format!("it is not right as {}", form.name()))
    }

    fn read(family: &'static str, path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)?;
        let is_text = path.extension().is_some_and(|extension| extension == "wat");
        let name = path.file_stem().and_then(|name| name.to_str()).context("its name is no text")?;
        let mut head = text.lines().map_while(|line| line.strip_prefix(";; "));
        let does = head.next().context("it does not say what it does")?;
        let mut guest = Self {
            family,
            name: name.to_owned(),
            does: does.to_owned(),
            promise: Promise { status: 0, problem: None, counted: String::new(), logged: None, says: None },
            forms: vec![Form::Lean, Form::Http],
            limits: None,
            grants: None,
            calls: 1,
            source: Source::Text(text.clone()),
        };
        for line in head {
            let (key, value) = line.split_once(": ").with_context(|| format!("no `key: value`: {line}"))?;
            guest.set(key, value)?;
        }
        ensure!(guest.promise.status != 0 && !guest.promise.counted.is_empty(), "it promises nothing");
        let has_text = matches!(guest.source, Source::Text(_));
        ensure!(is_text == has_text, "a `.wat` has a text, a `.txt` has `built` and `path`");
        Ok(guest)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "promised" => {
                let (status, problem) = match value.split_once(' ') {
                    Some((status, problem)) => (status, Some(problem.to_owned())),
                    None => (value, None),
                };
                self.promise.status = status.parse().with_context(|| format!("`{status}` is no status"))?;
                self.promise.problem = problem;
            }
            "counted" => value.clone_into(&mut self.promise.counted),
            "logged" => self.promise.logged = Some(value.to_owned()),
            "says" => self.promise.says = Some(value.to_owned()),
            "form" => {
                self.forms = vec![match value {
                    "lean" => Form::Lean,
                    "http" => Form::Http,
                    other => bail!("`{other}` is neither `lean` nor `http`"),
                }];
            }
            "built" => self.source = Source::Built { file: value.to_owned(), path: "/".to_owned() },
            "path" => match &mut self.source {
                Source::Built { path, .. } => value.clone_into(path),
                Source::Text(_) => bail!("`path` comes after `built`"),
            },
            "limits" => self.limits = Some(value.to_owned()),
            "grants" => self.grants = Some(value.to_owned()),
            "calls" => self.calls = value.parse().with_context(|| format!("`{value}` is no number"))?,
            other => bail!("`{other}` is no key"),
        }
        Ok(())
    }
}

/// All of them, by family and name.
///
/// # Errors
/// If a file cannot be read, or its head is not as it should be.
pub fn all() -> Result<Vec<Guest>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut guests = Vec::new();
    for family in FAMILIES {
        let folder = root.join(family);
        let entries = fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        let mut paths: Vec<PathBuf> =
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        paths.sort();
        for path in paths {
            let read = Guest::read(family, &path);
            guests.push(read.with_context(|| format!("reading {}", path.display()))?);
        }
    }
    Ok(guests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_right_in_each_of_its_forms() {
        let guests = all().unwrap();
        assert!(guests.len() >= 40, "{}", guests.len());
        for guest in guests {
            let Source::Text(text) = &guest.source else { continue };
            for form in &guest.forms {
                Guest::component(text, *form)
                    .unwrap_or_else(|error| panic!("{}/{}: {error:#}", guest.family, guest.name));
            }
        }
    }

    #[test]
    fn a_head_that_is_not_right_is_told_so() {
        let folder = std::env::temp_dir().join(format!("hostile-guests-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.wat");
        for (text, said) in [
            ("(func $attack)", "does not say what it does"),
            (";; Does.\n(func $attack)", "promises nothing"),
            (";; Does.\n;; promised: many\n", "is no status"),
            (";; Does.\n;; forms: lean\n", "is no key"),
            (";; Does.\n;; form: both\n", "neither"),
            (
                ";; Does.\n;; promised: 200\n;; counted: ok\n;; built: guest_http.wasm\n",
                "a `.wat` has a text",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let error = Guest::read("cpu", &path).unwrap_err();
            assert!(format!("{error:#}").contains(said), "{text}: {error:#}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
