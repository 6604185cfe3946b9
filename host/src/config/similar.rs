//! The nearest known name to an unknown one.
//!
//! Owns the measure of similarity, and the bounds of the comparison. The known names come from the caller.

use super::findings::Findings;
use crate::observe::few;

/// The longest name for which a similar one is sought.
const MAX_SIMILAR_CHARS: usize = 64;

/// The most names that a name is compared with.
const MAX_COMPARED: usize = 1000;

/// The most keys that a message lists.
const MAX_LISTED: usize = 16;

/// Help for an unknown name: the most similar known name, or all known names after `all_of`.
pub(super) fn did_you_mean<S: AsRef<str>>(
    name: &str,
    known: &[S],
    all_of: &str,
    findings: &Findings,
) -> Option<String> {
    if findings.is_full() || known.is_empty() {
        return None;
    }
    if let Some(similar) = most_similar(name, known.iter().map(AsRef::as_ref)) {
        return Some(format!("did you mean `{similar}`?"));
    }
    Some(format!("{all_of} {}", few(known.iter().map(AsRef::as_ref), MAX_LISTED)))
}

/// The known name that `name` was probably meant to be.
fn most_similar<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let known = known.take(MAX_COMPARED);
    let name: Vec<char> = name.chars().take(MAX_SIMILAR_CHARS).flat_map(char::to_lowercase).collect();
    // A third of the letters may be wrong: `boks` is `books`, `log` is not `cpu`.
    let most = name.len().checked_div(3).unwrap_or(0).clamp(1, 3);
    let with_distance = known.map(|known| {
        let letters: Vec<char> = known.chars().take(MAX_SIMILAR_CHARS).collect();
        (distance(&name, &letters), known)
    });
    let near = with_distance.filter(|(distance, _)| *distance <= most);
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// The number of letters to add, leave out, change or swap with their neighbour to make one word the other. A `_` for
/// a `-` counts as equal.
fn distance(from: &[char], to: &[char]) -> usize {
    let same = |a: char, b: char| a == b || (a == '_' && b == '-');
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, &letter) in from.iter().enumerate() {
        let mut current = vec![row.saturating_add(1)];
        for (column, &other) in to.iter().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX);
            let changed = at(&last, column).saturating_add(usize::from(!same(letter, other)));
            let added = at(&current, column).saturating_add(1);
            let left_out = at(&last, column.saturating_add(1)).saturating_add(1);
            let mut best = changed.min(added).min(left_out);
            if let (Some(row_before), Some(column_before)) = (row.checked_sub(1), column.checked_sub(1))
                && from.get(row_before) == Some(&other)
                && to.get(column_before) == Some(&letter)
            {
                best = best.min(at(&before_last, column_before).saturating_add(1));
            }
            current.push(best);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_recognized() {
        let known = ["books", "cpu", "queue-wait", "keyvalue", "keyvalue-shared", "request-body"];
        for (name, meant) in [
            ("boks", Some("books")),
            ("boosk", Some("books")),
            ("Books", Some("books")),
            ("queue_wait", Some("queue-wait")),
            ("key-value", Some("keyvalue")),
            ("requestbody", Some("request-body")),
            ("cpus", Some("cpu")),
            ("memory", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(most_similar(name, known.into_iter()), meant, "{name}");
        }
    }
}
