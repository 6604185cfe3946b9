//! Settling: decides whether an edit of the site file is taken at once, or has to stay unchanged for a while first.
//!
//! A file that is written slowly is a valid site at the end of each of its tables. A part that is not written yet
//! looks as if it had been removed. So an edit that leaves out an earlier key is withheld, whole, until the file has
//! not changed for [`SETTLE_TIME`]. Knows no clock, and nothing of a site's content.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Source;

/// The time that an edit which leaves something out has to stay unchanged.
pub(super) const SETTLE_TIME: Duration = Duration::from_secs(2);

/// The text that was taken last, and the later edit that is withheld.
pub(super) struct Settling {
    taken: Arc<Source>,
    withheld: Option<Withheld>,
}

struct Withheld {
    text: Arc<Source>,
    since: Instant,
}

/// The decision about an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum EditVerdict {
    /// The edit is taken.
    Take,
    /// The edit is withheld from now on, because it leaves out this key.
    Withhold { left_out: String },
    /// The edit is withheld already.
    Wait,
}

impl Settling {
    /// A settling that begins with a text that was taken.
    pub(super) fn new(taken: Arc<Source>) -> Self {
        Self { taken, withheld: None }
    }

    /// Decides about the present text of the file.
    pub(super) fn judge(&mut self, text: &Arc<Source>, now: Instant) -> EditVerdict {
        if let Some(withheld) = self.withheld.as_ref().filter(|withheld| withheld.text.text() == text.text())
        {
            let is_settled = now.duration_since(withheld.since) >= SETTLE_TIME;
            return if is_settled { EditVerdict::Take } else { EditVerdict::Wait };
        }
        let Some(left_out) = self.taken.first_key_left_out_by(text) else { return EditVerdict::Take };
        self.withheld = Some(Withheld { text: text.clone(), since: now });
        EditVerdict::Withhold { left_out }
    }

    /// Notes that a text was taken.
    pub(super) fn took(&mut self, text: Arc<Source>) {
        *self = Self::new(text);
    }

    /// Notes that the file has another text now, which cannot be taken.
    pub(super) fn refused(&mut self) {
        self.withheld = None;
    }

    /// The time until the withheld edit may be taken.
    pub(super) fn is_due_in(&self, now: Instant) -> Option<Duration> {
        let withheld = self.withheld.as_ref()?;
        Some(SETTLE_TIME.saturating_sub(now.duration_since(withheld.since)))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Site;

    fn text(tenants: &[&str]) -> Arc<Source> {
        let table = |name: &&str| format!("[tenants.{name}]\nhosts = [\"{name}.example\"]\n");
        Site::parse(Path::new("site.toml"), tenants.iter().map(table).collect()).unwrap().source
    }

    fn withheld(left_out: &str) -> EditVerdict {
        EditVerdict::Withhold { left_out: left_out.to_owned() }
    }

    #[test]
    fn a_file_that_is_written_slowly_is_taken_when_nothing_is_missing() {
        let (whole, mut now) = (text(&["a", "b", "c"]), Instant::now());
        let mut settling = Settling::new(whole.clone());
        for (written, missing) in
            [(text(&["a"]), "tenants.b"), (text(&["a", "b"]), "tenants.c"), (text(&["a"]), "tenants.b")]
        {
            assert_eq!(settling.judge(&written, now), withheld(missing));
            now += SETTLE_TIME - Duration::from_millis(1);
            assert_eq!(settling.judge(&written, now), EditVerdict::Wait);
            assert_eq!(settling.is_due_in(now), Some(Duration::from_millis(1)));
        }
        assert_eq!(settling.judge(&whole, now), EditVerdict::Take);
        settling.took(whole);
        assert_eq!(settling.is_due_in(now), None);
    }

    #[test]
    fn what_stays_removed_is_removed() {
        let (fewer, began) = (text(&["a"]), Instant::now());
        let mut settling = Settling::new(text(&["a", "b"]));
        assert_eq!(settling.judge(&fewer, began), withheld("tenants.b"));
        assert_eq!(settling.judge(&fewer, began + SETTLE_TIME), EditVerdict::Take);
        settling.took(fewer.clone());
        assert_eq!(settling.judge(&fewer, began + SETTLE_TIME), EditVerdict::Take);
        assert_eq!(settling.judge(&text(&["a", "b"]), began + SETTLE_TIME), EditVerdict::Take);
    }

    #[test]
    fn a_text_that_comes_back_after_a_refused_one_waits_anew() {
        let (fewer, began) = (text(&["a"]), Instant::now());
        let mut settling = Settling::new(text(&["a", "b"]));
        assert_eq!(settling.judge(&fewer, began), withheld("tenants.b"));
        settling.refused();
        assert_eq!(settling.is_due_in(began), None);
        assert_eq!(settling.judge(&fewer, began + SETTLE_TIME), withheld("tenants.b"));
    }
}
