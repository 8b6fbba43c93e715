//! Aligned columns for people. Data only: no colour, no frames, nothing to strip before `grep`.

use std::fmt::Write as _;

/// Rows of text, aligned by the widest of each column.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// With a heading.
    pub(crate) fn new(heading: &[&str]) -> Self {
        Self { rows: vec![heading.iter().map(|text| text.to_uppercase()).collect()] }
    }

    /// Control characters are escaped: a cell is one line.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let escaped = |cell: String| {
            if cell.chars().any(char::is_control) { cell.escape_debug().to_string() } else { cell }
        };
        self.rows.push(cells.into_iter().map(escaped).collect());
    }

    pub(crate) fn text(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                // Writing to a String cannot fail.
                let _ = write!(line, "{cell:width$}  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_cells_are_one_line() {
        let mut table = Table::new(&["app", "status"]);
        table.row(["/a".to_owned(), "enabled".to_owned()]);
        table.row(["/group/app".to_owned(), "a\nb".to_owned()]);
        assert_eq!(table.text(), "APP         STATUS\n/a          enabled\n/group/app  a\\nb\n");
    }
}
