//! Rows of texts in columns.

/// Rows below their titles, each column as wide as its widest text. The texts are fit to show.
pub(super) fn columns(titles: &[&str], rows: Vec<Vec<String>>) -> String {
    let titles = titles.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(titles).chain(rows).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let line = |row: &Vec<String>| {
        let padded = row.iter().zip(&widths).map(|(text, width)| format!("{text:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let row = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        assert_eq!(columns(&["name", "by"], vec![]), "name  by");
        assert_eq!(
            columns(&["name", "by"], vec![row(["größe", "ops"]), row(["a", ""])]),
            "name   by\ngröße  ops\na"
        );
    }
}
