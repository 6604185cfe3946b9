//! A list of any length in a message: its first items by name, and the number of the others.

use std::fmt::Display;

/// The most items that a message names of a list whose length the author of a component decides.
pub const FEW: usize = 12;

/// The first `most` items, each in backquotes, and the number of the others.
pub fn few<T: Display>(items: impl IntoIterator<Item = T>, most: usize) -> String {
    let mut items = items.into_iter();
    let named: Vec<_> = items.by_ref().take(most).map(|item| format!("`{item}`")).collect();
    match items.count() {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_told_by_its_first_items_and_the_number_of_the_others() {
        assert_eq!(few(["a", "b"], 2), "`a`, `b`");
        assert_eq!(few(1..=1000, 2), "`1`, `2` and 998 more");
        assert_eq!(few([""; 0], 2), "");
    }
}
