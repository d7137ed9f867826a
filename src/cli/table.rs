//! Columns: names at the left, numbers at the right.

/// Rows of so many cells, the first a name and the others numbers, under a title each.
#[derive(Debug)]
pub(super) struct Table<const COLUMNS: usize> {
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    pub(super) fn new(titles: [&str; COLUMNS]) -> Self {
        Self { rows: vec![titles.map(str::to_owned)] }
    }

    pub(super) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells);
    }

    /// The lines, each column as wide as its widest cell.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let mut widths = [0; COLUMNS];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        self.rows.iter().map(move |row| {
            let cells = row.iter().zip(widths).enumerate();
            let cells = cells.map(|(place, (cell, width))| match place {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["TOPIC", "LAG"]);
        table.row(["gcn.circular".to_owned(), "7".to_owned()]);
        table.row(["é".to_owned(), "12345".to_owned()]);
        table.row(["x".to_owned(), String::new()]);
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines, ["TOPIC           LAG", "gcn.circular      7", "é             12345", "x"]);
    }
}
