//! Raw cells into features.

use std::collections::{HashMap, HashSet};

use xxhash_rust::xxh3::xxh3_64;

use super::super::date;
use super::super::table::{Cells, Kind, Table, TableColumn};
use super::super::text::shortened;
use super::encoding::Crossed;
use super::{Combination, InputTransform, Preprocessing, Transform};
use crate::error::DataError;

/// What is known of features before they are computed.
#[derive(Default)]
pub(super) struct Known {
    /// The training rows' encodings by the target, by the input's place.
    pub(super) crossed: HashMap<usize, Crossed>,
    /// The features of which a missing number comes later, and is a NaN until then.
    pub(super) awaited: HashSet<usize>,
}

impl Preprocessing {
    /// Features before any combination.
    pub(super) fn width(&self) -> usize {
        self.inputs.iter().map(|input| input.transform.width()).sum()
    }

    /// Features of a row before any combination, and after each.
    fn widths(&self) -> impl Iterator<Item = usize> {
        let after = self.combinations.iter().scan(self.width(), |width, combination| {
            *width = combination.width(*width);
            Some(*width)
        });
        std::iter::once(self.width()).chain(after)
    }

    /// Features of a row.
    pub(crate) fn feature_count(&self) -> usize {
        self.widths().last().unwrap_or(0)
    }

    /// Bytes of a row's features where they are most.
    pub(in crate::data) fn row_bytes(&self) -> usize {
        self.widths().max().unwrap_or(0).saturating_mul(size_of::<f32>())
    }

    /// Whether a row is encoded by the targets of the rows that this was fitted on.
    pub(in crate::data) fn encodes_by_target(&self) -> bool {
        self.inputs.iter().any(|input| matches!(input.transform, Transform::Target { .. }))
    }

    /// The features of a table's rows, row after row.
    pub(super) fn features(&self, table: &Table) -> Result<Vec<f32>, DataError> {
        let neighbours = |combination: &Combination| match combination {
            Combination::Neighbours(it) => it.features.clone(),
            _ => Vec::new(),
        };
        let awaited = self.combinations.iter().flat_map(neighbours).collect();
        let mut features = self.columns(table, &Known { awaited, ..Known::default() })?;
        let mut width = self.width();
        for (place, combination) in self.combinations.iter().enumerate() {
            features = self.combined(table, place, features, width)?;
            width = combination.width(width);
        }
        Ok(features)
    }

    /// The features after the combination of this place, `width` of a row before it.
    pub(super) fn combined(
        &self,
        table: &Table,
        place: usize,
        features: Vec<f32>,
        width: usize,
    ) -> Result<Vec<f32>, DataError> {
        self.combinations[place].apply(features, width, |row, feature| {
            let names = self.names_after(place + 1);
            let message = "the number is too large for single precision; scale the columns";
            table.cell_fault(row, &names[feature], message)
        })
    }

    /// The features of a table's rows, row after row, before any combination.
    pub(super) fn columns(&self, table: &Table, known: &Known) -> Result<Vec<f32>, DataError> {
        let width = self.width();
        let elements = width.checked_mul(table.len()).ok_or_else(|| {
            DataError::Invalid(format!("{width} features of {} rows are too many", table.len()))
        })?;
        let mut features = Vec::new();
        features.try_reserve_exact(elements).map_err(|_| {
            DataError::Invalid(format!(
                "{width} features of {} rows do not fit into memory; a column with many \
                 categories can be `ordinal()` or ignored",
                table.len()
            ))
        })?;
        features.resize(elements, 0.0);
        let mut offset = 0;
        for (place, input) in self.inputs.iter().enumerate() {
            let rows = features.chunks_exact_mut(width).map(|row| &mut row[offset..]);
            input.apply(table, known.crossed.get(&place), known.awaited.contains(&offset), rows)?;
            offset += input.transform.width();
        }
        Ok(features)
    }
}

impl Transform {
    /// Features that it makes.
    pub(super) fn width(&self) -> usize {
        match self {
            Transform::OneHot { categories, other, .. } => categories.len() + usize::from(*other),
            Transform::Hash { buckets, .. } => *buckets,
            Transform::Target { encodings, .. } => encodings.len(),
            Transform::Number { .. } | Transform::Ordinal { .. } => 1,
        }
    }
}

impl InputTransform {
    /// Writes the features of every row, which are 0 before; they begin each slice of `rows`.
    fn apply<'a>(
        &self,
        table: &Table,
        crossed: Option<&Crossed>,
        awaited: bool,
        rows: impl Iterator<Item = &'a mut [f32]>,
    ) -> Result<(), DataError> {
        let column = table.column(&self.column).ok_or_else(|| table.no_column(&self.column))?;
        let part = self.part.map(|part| column.part(part).ok_or_else(|| no_date(table, column)));
        let part = part.transpose()?;
        let column = part.as_ref().unwrap_or(column);
        match &self.transform {
            Transform::Number { fill, clip, log, quantiles, scaling } => {
                for (row, out) in rows.enumerate() {
                    let Some(number) = number(table, column, row)?.or(*fill) else {
                        if awaited {
                            out[0] = f32::NAN;
                            continue;
                        }
                        return Err(missing(table, row, column));
                    };
                    let number = prepared(number, *clip, *log);
                    let number = quantiles.as_ref().map_or(number, |q| q.apply(number));
                    let scaled = scaling.apply(number);
                    out[0] = single(table, &self.column, row, scaled)?;
                }
            }
            Transform::OneHot { fill, categories, .. } => {
                let width = self.transform.width();
                let places = places(table, column, fill.as_deref(), categories)?;
                for (out, place) in rows.zip(places) {
                    if place < width {
                        out[place] = 1.0;
                    }
                }
            }
            Transform::Hash { fill, buckets } => {
                for (row, out) in rows.enumerate() {
                    let word = word(table, column, row, fill.as_deref())?;
                    out[(xxh3_64(word.as_bytes()) % *buckets as u64) as usize] = 1.0;
                }
            }
            Transform::Ordinal { fill, categories } => {
                let places = places(table, column, fill.as_deref(), categories)?;
                rows.zip(places).for_each(|(out, place)| out[0] = place as f32);
            }
            Transform::Target { fill, categories, encodings } => {
                let places = places(table, column, fill.as_deref(), categories)?;
                for (row, (out, place)) in rows.zip(places).enumerate() {
                    for (i, encoding) in encodings.iter().enumerate() {
                        let mean = crossed.map_or(encoding.means[place], |own| own.number(i, row));
                        out[i] = single(table, &self.column, row, encoding.scale(mean))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Each row's place in the list of categories; the list's length for a word not in it.
pub(super) fn places(
    table: &Table,
    column: &TableColumn,
    fill: Option<&str>,
    categories: &[String],
) -> Result<Vec<usize>, DataError> {
    let index: HashMap<&str, usize> =
        categories.iter().enumerate().map(|(place, word)| (word.as_str(), place)).collect();
    let place = |row| {
        let word = word(table, column, row, fill)?;
        Ok(index.get(word).copied().unwrap_or(categories.len()))
    };
    (0..table.len()).map(place).collect()
}

/// The word of a row, or what stands in for a missing one.
fn word<'a>(
    table: &Table,
    column: &'a TableColumn,
    row: usize,
    fill: Option<&'a str>,
) -> Result<&'a str, DataError> {
    if let Some(number) = column.number(row) {
        let what = match column.kind() {
            Kind::Date => date::text(number) + " is a date",
            _ => format!("{number} is a number"),
        };
        let message = format!(
            "{what} where a category is expected; read the file with \
             `types_from` the preprocessing"
        );
        return Err(table.cell_fault(row, column.name(), &message));
    }
    column.word(row).or(fill).ok_or_else(|| missing(table, row, column))
}

/// A number clipped, and its logarithm if that is asked for.
pub(super) fn prepared(number: f64, clip: Option<(f64, f64)>, log: bool) -> f64 {
    let number = clip.map_or(number, |(low, high)| number.max(low).min(high));
    if log { number.abs().ln_1p().copysign(number) } else { number }
}

/// The number of a row, `None` if it is missing.
pub(super) fn number(
    table: &Table,
    column: &TableColumn,
    row: usize,
) -> Result<Option<f64>, DataError> {
    match &column.cells {
        Cells::Numbers(numbers) => Ok(Some(numbers[row]).filter(|x| !x.is_nan())),
        Cells::Dates(_) => {
            let message = "these are dates where numbers are expected; read the file with \
                           `types_from` the preprocessing";
            Err(table.column_fault(column.name(), message.into()))
        }
        Cells::Categories { .. } => match column.word(row) {
            None => Ok(None),
            Some(word) => {
                let word = shortened(word);
                let message = format!("`{word}` is a category where a number is expected");
                Err(table.cell_fault(row, column.name(), &message))
            }
        },
    }
}

/// A result in single precision, which it must fit.
pub(super) fn single(
    table: &Table,
    column: &str,
    row: usize,
    number: f64,
) -> Result<f32, DataError> {
    let rounded = number as f32;
    if rounded.is_finite() {
        return Ok(rounded);
    }
    let message = format!("{number:e} is too large for single precision; scale the column");
    Err(table.cell_fault(row, column, &message))
}

fn no_date(table: &Table, column: &TableColumn) -> DataError {
    let message = "the cells are no dates, which are expected; read the file with `types_from` the \
                   preprocessing";
    table.column_fault(column.name(), message.into())
}

fn missing(table: &Table, row: usize, column: &TableColumn) -> DataError {
    let example = match column.kind() {
        Kind::Number | Kind::Date => "Impute::Median",
        Kind::Category => "Impute::MostFrequent",
    };
    let message = format!(
        "the cell is missing, as {} of {} are; say `impute({example})` or `drop_missing()`",
        column.missing(),
        column.len()
    );
    table.cell_fault(row, column.name(), &message)
}
