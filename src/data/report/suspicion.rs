//! Columns that tell the target.

use super::super::table::{Cells, TableColumn};
use super::Suspicion;

/// Fewest rows in which a pattern is no chance.
pub(super) const FEWEST_ROWS: usize = 20;

/// Least size of a correlation that is suspicious.
const CORRELATION: f64 = 0.999;

/// The target, and the number of each row's value of it.
pub(super) struct Leaks<'a> {
    target: &'a TableColumn,
    values: Vec<u32>,
    distinct: usize,
}

impl<'a> Leaks<'a> {
    pub(super) fn new(target: &'a TableColumn) -> Leaks<'a> {
        let (values, distinct) = target.value_numbers();
        Leaks { target, values, distinct }
    }

    /// Whether a column is the target.
    pub(super) fn target(&self, column: &TableColumn) -> bool {
        column.name() == self.target.name()
    }

    /// What another column tells of the target.
    pub(super) fn of(&self, column: &TableColumn) -> Option<Suspicion> {
        if let Cells::Numbers(x) | Cells::Dates(x) = &column.cells
            && let Cells::Numbers(y) = &self.target.cells
            && let Some(correlation) = correlation(x, y)
            && correlation.abs() >= CORRELATION
        {
            return Some(Suspicion::Correlated(correlation));
        }
        self.determined_by(column).then_some(Suspicion::Determines)
    }

    fn determined_by(&self, column: &TableColumn) -> bool {
        let rows = self.values.len();
        let (values, distinct) = column.value_numbers();
        let few = distinct >= 2 && distinct.saturating_mul(distinct) <= rows;
        if rows < FEWEST_ROWS || !few || self.distinct < 2 {
            return false;
        }
        let mut seen: Vec<Option<u32>> = vec![None; distinct];
        values
            .iter()
            .zip(&self.values)
            .all(|(&value, &target)| *seen[value as usize].get_or_insert(target) == target)
    }
}

/// Pearson's correlation over the rows that have both numbers; `None` if they are too few, or one
/// of the two is constant there.
fn correlation(x: &[f64], y: &[f64]) -> Option<f64> {
    let pairs = || x.iter().zip(y).filter(|(x, y)| !x.is_nan() && !y.is_nan());
    let count = pairs().count();
    if count < FEWEST_ROWS {
        return None;
    }
    let (x, y) = (centred(pairs().map(|(x, _)| *x))?, centred(pairs().map(|(_, y)| *y))?);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    Some((dot(&x, &y) / (dot(&x, &x) * dot(&y, &y)).sqrt()).clamp(-1.0, 1.0))
}

/// The numbers less their mean, scaled so that the largest is 1: squares then neither overflow
/// nor vanish. `None` if all are equal.
fn centred(numbers: impl Iterator<Item = f64>) -> Option<Vec<f64>> {
    let mut numbers: Vec<f64> = numbers.collect();
    let largest = |numbers: &[f64]| numbers.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    for centre in [false, true] {
        let scale = largest(&numbers);
        if scale == 0.0 {
            return None;
        }
        numbers.iter_mut().for_each(|x| *x /= scale);
        if !centre {
            let first = numbers[0];
            if numbers.iter().all(|&x| x == first) {
                return None;
            }
            let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
            numbers.iter_mut().for_each(|x| *x -= mean);
        }
    }
    Some(numbers)
}
