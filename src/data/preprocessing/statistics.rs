//! Statistics of a column's training rows. Conventions are scikit-learn's.

use std::collections::BTreeMap;

use super::super::recipe::{Impute, Scale};
use super::super::table::{Table, TableColumn};
use super::Scaling;
use super::quantiles::Quantiles;
use crate::error::DataError;

/// The numbers that are not missing.
pub(super) fn present(column: &TableColumn) -> impl Iterator<Item = f64> {
    (0..column.len()).filter_map(|row| column.number(row))
}

pub(super) fn fill_number(
    train: &Table,
    column: &TableColumn,
    how: &Impute,
    numbers: &[f64],
) -> Result<f64, DataError> {
    let fill = match how {
        Impute::Constant(number) => *number,
        _ if numbers.is_empty() => return Err(no_value(train, column)),
        Impute::Median => median(numbers),
        Impute::MostFrequent => most_frequent(numbers),
        // The others are never asked for: ColumnRecipe::impute sees to words, and neighbours are not
        // known before all columns are fitted.
        Impute::Mean | Impute::Word(_) | Impute::Neighbours(_) => mean(numbers),
    };
    finite(train, column, "the imputed value", fill)
}

pub(super) fn fill_word(
    train: &Table,
    column: &TableColumn,
    how: &Impute,
) -> Result<String, DataError> {
    if let Impute::Word(word) = how {
        return Ok(word.clone());
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    (0..column.len())
        .filter_map(|row| column.word(row))
        .for_each(|word| *counts.entry(word).or_default() += 1);
    // The first of equals, in sorted order.
    let most = counts.iter().rev().max_by_key(|&(_, count)| count);
    most.map(|(word, _)| word.to_string()).ok_or_else(|| no_value(train, column))
}

/// The words of at least this share of the rows, sorted, and whether there are others to join.
pub(super) fn categories(
    train: &Table,
    column: &TableColumn,
    fill: Option<&str>,
    rare: f64,
) -> Result<(Vec<String>, bool), DataError> {
    if !(0.0..1.0).contains(&rare) {
        let message =
            format!("the share of rare words is {rare}; it must be at least 0 and under 1");
        return Err(train.column_fault(column.name(), message));
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let words = (0..column.len()).filter_map(|row| column.word(row).or(fill));
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    if counts.is_empty() {
        return Err(no_value(train, column));
    }
    let (least, all) = (rare * column.len() as f64, counts.len());
    counts.retain(|_, count| *count as f64 >= least);
    // A feature that no training row has would be a weight that nothing was learned for.
    let joined = counts.len() < all;
    Ok((counts.into_keys().map(String::from).collect(), joined))
}

/// The quantiles of these shares, to clip at.
pub(super) fn bounds(
    train: &Table,
    column: &TableColumn,
    numbers: &[f64],
    (low, high): (f64, f64),
) -> Result<(f64, f64), DataError> {
    if !(0.0 <= low && low < high && high <= 1.0) {
        let message = format!("quantiles to clip at are two shares in order, not {low} and {high}");
        return Err(train.column_fault(column.name(), message));
    }
    if numbers.is_empty() {
        return Err(no_value(train, column));
    }
    let sorted = sorted(numbers);
    Ok((quantile(&sorted, low), quantile(&sorted, high)))
}

pub(super) fn sorted(numbers: &[f64]) -> Vec<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Of sorted numbers, linear between the two nearest, as NumPy's by default.
pub(super) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // Not low + (high - low) * part: the difference may overflow.
    if low == high { low } else { low * (1.0 - place.fract()) + high * place.fract() }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

fn median(numbers: &[f64]) -> f64 {
    let sorted = sorted(numbers);
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

fn most_frequent(numbers: &[f64]) -> f64 {
    let sorted = sorted(numbers);
    let runs = sorted.chunk_by(|a, b| a == b);
    // max_by_key takes the last of equals; reversed, that is the smallest.
    let runs: Vec<&[f64]> = runs.collect();
    runs.iter().rev().max_by_key(|run| run.len()).map_or(0.0, |run| run[0])
}

/// What scales these numbers of a column: their ranks, or a linear map.
pub(super) fn scaled(
    train: &Table,
    column: &TableColumn,
    scale: Scale,
    numbers: &[f64],
) -> Result<(Option<Quantiles>, Scaling), DataError> {
    Ok(match scale {
        Scale::Quantile(_) if numbers.is_empty() => return Err(no_value(train, column)),
        Scale::Quantile(distribution) => {
            (Some(Quantiles::fit(numbers, distribution)), Scaling::None)
        }
        _ => (None, scaling(train, column, scale, numbers)?),
    })
}

pub(super) fn scaling(
    train: &Table,
    column: &TableColumn,
    scale: Scale,
    numbers: &[f64],
) -> Result<Scaling, DataError> {
    if matches!(scale, Scale::None | Scale::Quantile(_)) {
        return Ok(Scaling::None);
    }
    if numbers.is_empty() {
        return Err(no_value(train, column));
    }
    let min = numbers.iter().copied().fold(f64::INFINITY, f64::min);
    let max = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    finite(train, column, "the range", max - min)?;
    if scale == Scale::MinMax {
        return Ok(Scaling::MinMax { min, max });
    }
    if scale == Scale::Robust {
        let sorted = sorted(numbers);
        let range = quantile(&sorted, 0.75) - quantile(&sorted, 0.25);
        return Ok(Scaling::Robust { median: median(&sorted), range });
    }
    if min == max {
        return Ok(Scaling::Standard { mean: min, deviation: 0.0 });
    }
    let mean = finite(train, column, "the sum", mean(numbers))?;
    let count = numbers.len() as f64;
    let variance = numbers.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
    finite(train, column, "the variance", variance)?;
    // A variance within its own rounding error is none: the bound for a mean of n summands.
    let noise = count * f64::EPSILON * variance + (count * mean * f64::EPSILON).powi(2);
    let deviation = if variance <= noise { 0.0 } else { variance.sqrt() };
    Ok(Scaling::Standard { mean, deviation })
}

fn finite(train: &Table, column: &TableColumn, what: &str, x: f64) -> Result<f64, DataError> {
    if x.is_finite() {
        return Ok(x);
    }
    let message = format!("{what} of the numbers is too large for double precision");
    Err(train.column_fault(column.name(), message))
}

pub(super) fn no_value(train: &Table, column: &TableColumn) -> DataError {
    let message = "no training row has a value; ignore the column";
    train.column_fault(column.name(), message.into())
}
