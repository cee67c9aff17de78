//! A report as a table for people.

use std::fmt;

use super::super::date;
use super::super::table::Kind;
use super::super::text::shortened;
use super::{ColumnReport, Suspicion, TableReport};

const HEAD: [&str; 8] =
    ["column", "type", "missing", "distinct", "min", "mean", "max", "most frequent"];

impl fmt::Display for TableReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = counted(self.rows, "row");
        let columns = counted(self.columns.len(), "column");
        let duplicates = match self.duplicates {
            0 => "no row twice".into(),
            1 => "1 row equal to an earlier one".into(),
            n => format!("{n} rows equal to earlier ones"),
        };
        writeln!(f, "{}: {rows}, {columns}, {duplicates}", self.source)?;
        let lines: Vec<[String; 8]> =
            std::iter::once(HEAD.map(String::from)).chain(self.columns.iter().map(line)).collect();
        let width = |i: usize| lines.iter().map(|l| l[i].chars().count()).max().unwrap_or(0);
        let widths: [usize; 8] = std::array::from_fn(width);
        for cells in &lines {
            let mut text = String::new();
            for (i, (cell, width)) in cells.iter().zip(widths).enumerate() {
                match i {
                    0 | 1 | 7 => text.push_str(&format!("{cell:<width$}  ")),
                    _ => text.push_str(&format!("{cell:>width$}  ")),
                }
            }
            write!(f, "\n{}", text.trim_end())?;
        }
        let suspicious = self.columns.iter().filter(|column| !column.suspicions.is_empty());
        for (i, column) in suspicious.enumerate() {
            if i == 0 {
                write!(f, "\n\nSuspicious")?;
            }
            let what: Vec<String> = column.suspicions.iter().map(Suspicion::to_string).collect();
            write!(f, "\n  {}: {}", shortened(&column.name), what.join("; "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Suspicion::Empty => f.write_str("all cells are missing"),
            Suspicion::Constant => f.write_str("it has one value only"),
            Suspicion::Identifier => f.write_str("every row has another value, as identifiers do"),
            Suspicion::Correlated(correlation) => {
                write!(f, "its correlation with the target is {correlation:.4}")
            }
            Suspicion::Determines => f.write_str("each value comes with one value of the target"),
        }
    }
}

fn line(column: &ColumnReport) -> [String; 8] {
    let kind = match column.kind {
        Kind::Number => "number",
        Kind::Category => "category",
        Kind::Date => "date",
    };
    let shown = if column.kind == Kind::Date { date::text } else { significant };
    let number = |x: Option<f64>| x.map_or(String::new(), shown);
    let most = column.most_frequent.as_ref();
    let most = most.map(|most| format!("{} ({})", shortened(&most.word), most.count));
    [
        shortened(&column.name),
        kind.into(),
        column.missing.to_string(),
        column.distinct.to_string(),
        number(column.min),
        number(column.mean),
        number(column.max),
        most.unwrap_or_default(),
    ]
}

fn counted(n: usize, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

/// A number with six significant digits, without zeros at its end.
fn significant(x: f64) -> String {
    let magnitude = x.abs();
    if magnitude != 0.0 && !(1e-4..1e9).contains(&magnitude) {
        return format!("{x:.4e}");
    }
    let before = if magnitude < 1.0 { 0 } else { magnitude.log10() as usize + 1 };
    let text = format!("{x:.*}", 6usize.saturating_sub(before));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').into(),
        false => text,
    }
}
