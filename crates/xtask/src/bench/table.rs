//! Numbers of several runs, and their table.

use std::fmt::Write as _;

/// The numbers one quantity had in the runs of one suite.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers(Vec<f64>);

impl Numbers {
    /// Adds the number of one more run.
    pub(super) fn add(&mut self, number: f64) {
        self.0.push(number);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle one, or the mean of the middle two.
    pub(super) fn median(&self) -> Option<f64> {
        let middle = self.0.len() / 2;
        let upper = *self.0.get(middle)?;
        if self.0.len() % 2 == 1 {
            return Some(upper);
        }
        let lower = *self.0.get(middle.checked_sub(1)?)?;
        Some(f64::midpoint(lower, upper))
    }

    fn shown(&self) -> String {
        match (self.median(), self.0.first(), self.0.last()) {
            (Some(median), Some(least), Some(most)) => format!(
                "{} ({}–{})",
                significant(median),
                significant(*least),
                significant(*most)
            ),
            _ => "–".to_owned(),
        }
    }
}

/// A table in Markdown: one line a suite with median, least and most of each quantity, and at the
/// end the ratio of the medians of the last suite to those of the first.
pub(super) fn table(quantities: &[&str], suites: &[(&str, Vec<Numbers>)]) -> String {
    let mut rows: Vec<Vec<String>> = vec![
        std::iter::once("")
            .chain(quantities.iter().copied())
            .map(str::to_owned)
            .collect(),
    ];
    for (suite, numbers) in suites {
        rows.push(
            std::iter::once((*suite).to_owned())
                .chain(numbers.iter().map(Numbers::shown))
                .collect(),
        );
    }
    if let ([first, .., last], true) = (suites, suites.len() > 1) {
        let ratios = first.1.iter().zip(&last.1).map(|(first, last)| {
            match (first.median(), last.median()) {
                (Some(first), Some(last)) if first > 0.0 => significant(last / first),
                _ => "–".to_owned(),
            }
        });
        rows.push(
            std::iter::once(format!("{} / {}", last.0, first.0))
                .chain(ratios)
                .collect(),
        );
    }
    render(&rows)
}

/// A table in Markdown, the first row its head.
pub(super) fn render(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(text, "| {cell:<width$} ");
        }
        text.push_str("|\n");
        if number == 0 {
            for width in &widths {
                let _ = write!(text, "|{}", "-".repeat(width + 2));
            }
            text.push_str("|\n");
        }
    }
    text
}

/// Three digits, or all those before the point.
pub(super) fn significant(number: f64) -> String {
    match number.abs() {
        magnitude if magnitude >= 99.95 => format!("{number:.0}"),
        magnitude if magnitude >= 9.995 => format!("{number:.1}"),
        magnitude if magnitude >= 0.9995 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(list: &[f64]) -> Numbers {
        let mut numbers = Numbers::default();
        for &number in list {
            numbers.add(number);
        }
        numbers
    }

    #[test]
    fn median_is_the_middle_of_any_order() {
        assert_eq!(numbers(&[3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(numbers(&[4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
        assert_eq!(numbers(&[]).median(), None);
    }

    #[test]
    fn table_ends_with_the_ratio_of_last_to_first() {
        let suites = [
            ("theirs", vec![numbers(&[100.0])]),
            ("ours", vec![numbers(&[250.0, 250.0])]),
        ];
        let text = table(&["MB/s"], &suites);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "|               | MB/s          |",
                "|---------------|---------------|",
                "| theirs        | 100 (100–100) |",
                "| ours          | 250 (250–250) |",
                "| ours / theirs | 2.50          |",
            ]
        );
    }
}
