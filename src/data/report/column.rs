//! Statistics of one column.

use super::super::table::{Cells, Kind, TableColumn};
use super::suspicion::FEWEST_ROWS;
use super::{ColumnReport, Suspicion, WordCount};

pub(super) fn report(column: &TableColumn) -> ColumnReport {
    match &column.cells {
        Cells::Numbers(numbers) => of_numbers(column, numbers.clone()),
        Cells::Dates(_) => {
            let days = (0..column.len()).map(|row| column.number(row).unwrap_or(f64::NAN));
            let mut report = of_numbers(column, days.collect());
            // Days that follow each other are no numbers of rows.
            report.not_an_identifier();
            report
        }
        Cells::Categories { words, codes } => of_words(column, words, codes),
    }
}

fn of_numbers(column: &TableColumn, cells: Vec<f64>) -> ColumnReport {
    let missing = cells.iter().filter(|x| x.is_nan()).count();
    let mut sorted: Vec<f64> = cells.into_iter().filter(|x| !x.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let distinct = sorted.chunk_by(|a, b| a == b).count();
    let whole = || sorted.iter().all(|x| x.fract() == 0.0);
    let (min, max) = (sorted.first().copied(), sorted.last().copied());
    let dense = match (min, max) {
        (Some(min), Some(max)) => max - min < 2.0 * distinct as f64,
        _ => false,
    };
    let identifies = dense && distinct == sorted.len() && whole();
    ColumnReport {
        name: column.name().into(),
        kind: column.kind(),
        missing,
        distinct,
        min,
        mean: mean(&sorted),
        max,
        most_frequent: None,
        suspicions: suspicions(sorted.len(), distinct, identifies),
    }
}

fn of_words(column: &TableColumn, words: &[String], codes: &[u32]) -> ColumnReport {
    let counts = column.word_counts();
    let present: usize = counts.iter().sum();
    let distinct = counts.iter().filter(|&&count| count > 0).count();
    // The first of equals: reversed, the last.
    let most = counts.iter().zip(words).filter(|&(&count, _)| count > 0);
    let most = most.rev().max_by_key(|&(count, _)| count);
    ColumnReport {
        name: column.name().into(),
        kind: Kind::Category,
        missing: codes.len() - present,
        distinct,
        min: None,
        mean: None,
        max: None,
        most_frequent: most.map(|(&count, word)| WordCount { word: word.clone(), count }),
        suspicions: suspicions(present, distinct, distinct == present),
    }
}

fn suspicions(present: usize, distinct: usize, identifies: bool) -> Vec<Suspicion> {
    match distinct {
        0 => vec![Suspicion::Empty],
        1 => vec![Suspicion::Constant],
        _ if identifies && present >= FEWEST_ROWS => vec![Suspicion::Identifier],
        _ => Vec::new(),
    }
}

/// The mean, finite also where the sum is not.
fn mean(numbers: &[f64]) -> Option<f64> {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let scaled = || numbers.iter().map(|x| x / count).sum();
    (!numbers.is_empty()).then(|| if mean.is_finite() { mean } else { scaled() })
}
