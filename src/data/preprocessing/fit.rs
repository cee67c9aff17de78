//! Statistics of the training rows. Conventions are scikit-learn's.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::dataset::Dataset;
use super::super::date::DatePart;
use super::super::recipe::{Encoding, Impute, Recipe, Scale};
use super::super::table::{Cells, Kind, Table, TableColumn};
use super::check::Unchecked;
use super::encoding::{Outcomes, TargetEncoding};
use super::inputs::{places, prepared};
use super::quantiles::Quantiles;
use super::target::class_of;
use super::{InputTransform, NumberTarget, Preprocessing, Scaling, TargetTransform, Transform};
use crate::error::DataError;

/// Most classes that are seen in a target of numbers unasked.
const MAX_NUMBER_CLASSES: usize = 1000;

impl Recipe {
    /// The rows of `train`, and the preprocessing fitted on them; classes come from `target`. Of
    /// encodings by the target these rows have others than the preprocessing would give them.
    pub(in super::super) fn fit(
        &self,
        train: &Table,
        target: &TargetTransform,
    ) -> Result<(Dataset, Preprocessing), DataError> {
        let columns = train.columns().iter().filter(|column| self.is_input(column.name()));
        let mut outcomes = None;
        let (mut inputs, mut crossed) = (Vec::new(), HashMap::new());
        for column in columns {
            if let Cells::Dates(moments) = &column.cells {
                inputs.extend(self.date(train, column, moments)?);
                continue;
            }
            let transform = match (self.column_recipe(column.name()).encoding, column.kind()) {
                (Encoding::Target(seed), Kind::Category) => {
                    let outcomes = match &outcomes {
                        Some(outcomes) => outcomes,
                        None => outcomes.insert(Outcomes::of(target, train)?),
                    };
                    let (transform, own) = self.by_target(train, column, outcomes, seed)?;
                    crossed.insert(inputs.len(), own);
                    transform
                }
                _ => self.input(train, column)?,
            };
            inputs.push(InputTransform { column: column.name().into(), part: None, transform });
        }
        if inputs.is_empty() {
            return Err(train.fault("the table", "there is no input column left".into()));
        }
        let target = match target {
            TargetTransform::Numbers(targets) if self.standardize_target => {
                TargetTransform::Numbers(standardized(train, targets)?)
            }
            other => other.clone(),
        };
        let fitted =
            Preprocessing::try_from(Unchecked { inputs, target, ignored: self.ignored.clone() })?;
        let features = fitted.features(train, &crossed)?;
        Ok((fitted.dataset(train, features)?, fitted))
    }

    /// A column of dates becomes its parts, which are numbers.
    fn date(
        &self,
        train: &Table,
        column: &TableColumn,
        moments: &[f64],
    ) -> Result<Vec<InputTransform>, DataError> {
        let present = moments.iter().copied().filter(|moment| !moment.is_nan());
        let parts = DatePart::all(present, self.column_recipe(column.name()).cyclic);
        let input = |part: DatePart| {
            let numbers = column.part(part).expect("invariant: the column is of dates");
            let transform = self.input(train, &numbers)?;
            Ok(InputTransform { column: column.name().into(), part: Some(part), transform })
        };
        parts.into_iter().map(input).collect()
    }

    /// Encodes a column of words by the target, and the training rows by other rows of them.
    fn by_target(
        &self,
        train: &Table,
        column: &TableColumn,
        outcomes: &Outcomes,
        seed: u64,
    ) -> Result<(Transform, Vec<Vec<f64>>), DataError> {
        let recipe = self.column_recipe(column.name());
        let fill = recipe.imputes(Kind::Category).map(|how| fill_word(train, column, how));
        let fill = fill.transpose()?;
        let (categories, _) = categories(train, column, fill.as_deref(), recipe.rare)?;
        let places = places(train, column, fill.as_deref(), &categories)?;
        let words = (&places[..], categories.len());
        let (mut encodings, own) = TargetEncoding::fit(train, column, words, outcomes, seed)?;
        for (encoding, own) in encodings.iter_mut().zip(&own) {
            (encoding.quantiles, encoding.scaling) = scaled(train, column, recipe.scale, own)?;
        }
        Ok((Transform::Target { fill, categories, encodings }, own))
    }

    fn input(&self, train: &Table, column: &TableColumn) -> Result<Transform, DataError> {
        let recipe = self.column_recipe(column.name());
        let impute = recipe.imputes(column.kind());
        if column.kind() == Kind::Number {
            let mut numbers: Vec<f64> = present(column).collect();
            let fill = impute.map(|how| fill_number(train, column, how, &numbers)).transpose()?;
            numbers.extend(fill.iter().cycle().take(fill.map_or(0, |_| column.missing())));
            let clip = recipe.clip.map(|shares| bounds(train, column, &numbers, shares));
            let (clip, log) = (clip.transpose()?, recipe.log);
            numbers.iter_mut().for_each(|x| *x = prepared(*x, clip, log));
            let (quantiles, scaling) = scaled(train, column, recipe.scale, &numbers)?;
            return Ok(Transform::Number { fill, clip, log, quantiles, scaling });
        }
        let fill = impute.map(|how| fill_word(train, column, how)).transpose()?;
        if let Encoding::Hash(buckets) = recipe.encoding {
            return Ok(Transform::Hash { fill, buckets });
        }
        let (categories, other) = categories(train, column, fill.as_deref(), recipe.rare)?;
        Ok(match recipe.encoding {
            Encoding::Ordinal => Transform::Ordinal { fill, categories },
            _ => Transform::OneHot { fill, categories, other },
        })
    }

    /// The target's kind and classes; numbers are not scaled yet.
    pub(in super::super) fn target_transform(
        &self,
        table: &Table,
    ) -> Result<TargetTransform, DataError> {
        let columns: Vec<&TableColumn> =
            self.targets.iter().filter_map(|name| table.column(name)).collect();
        let classify = self.classify.unwrap_or_else(|| match columns[..] {
            [column] => column.kind() == Kind::Category || numbered(column),
            _ => false,
        });
        if let Some(column) = columns.iter().find(|column| column.kind() == Kind::Date) {
            let message = "a target is numbers or words; these are dates. If each date is a class, \
                           read the column as `categories`";
            return Err(table.column_fault(column.name(), message.into()));
        }
        if classify {
            let [column] = columns[..] else {
                return Err(DataError::Invalid(
                    "a classification has one target column; there are several".into(),
                ));
            };
            return Ok(TargetTransform::Classes {
                column: column.name().into(),
                classes: classes(table, column)?,
            });
        }
        if let Some(column) = columns.iter().find(|column| column.kind() == Kind::Category) {
            let message = "a regression needs a target of numbers; these are categories";
            return Err(table.column_fault(column.name(), message.into()));
        }
        let unscaled = |column: &&TableColumn| NumberTarget {
            column: column.name().into(),
            scaling: Scaling::None,
        };
        Ok(TargetTransform::Numbers(columns.iter().map(unscaled).collect()))
    }
}

/// The numbers that are not missing.
fn present(column: &TableColumn) -> impl Iterator<Item = f64> {
    (0..column.len()).filter_map(|row| column.number(row))
}

/// Whether the numbers are 0, 1, ... k - 1, all occurring, with k from 2 to half the rows.
fn numbered(column: &TableColumn) -> bool {
    let most = MAX_NUMBER_CLASSES.min(column.len() / 2);
    let mut seen = vec![false; most];
    for number in present(column) {
        if number < 0.0 || number >= most as f64 || number.fract() != 0.0 {
            return false;
        }
        seen[number as usize] = true;
    }
    let classes = seen.iter().take_while(|&&seen| seen).count();
    classes >= 2 && seen[classes..].iter().all(|&seen| !seen)
}

/// The different classes, sorted as numbers if they are numbers.
fn classes(table: &Table, column: &TableColumn) -> Result<Vec<String>, DataError> {
    let classes: BTreeSet<String> =
        (0..column.len()).filter_map(|row| class_of(column, row)).collect();
    let mut classes: Vec<String> = classes.into_iter().collect();
    if column.kind() == Kind::Number {
        let number = |class: &String| class.parse::<f64>().unwrap_or(f64::NAN);
        classes.sort_by(|a, b| number(a).total_cmp(&number(b)));
    }
    if classes.len() < 2 {
        let message = format!("a classification needs two classes, there are {}", classes.len());
        return Err(table.column_fault(column.name(), message));
    }
    Ok(classes)
}

fn standardized(train: &Table, targets: &[NumberTarget]) -> Result<Vec<NumberTarget>, DataError> {
    let fitted = |target: &NumberTarget| {
        let name = &target.column;
        let column = train.column(name).ok_or_else(|| train.no_column(name))?;
        let numbers: Vec<f64> = present(column).collect();
        let scaling = scaling(train, column, Scale::Standard, &numbers)?;
        Ok(NumberTarget { column: name.clone(), scaling })
    };
    targets.iter().map(fitted).collect()
}

fn fill_number(
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
        // Words are never a number's imputation; ColumnRecipe::impute sees to that.
        Impute::Mean | Impute::Word(_) => mean(numbers),
    };
    finite(train, column, "the imputed value", fill)
}

fn fill_word(train: &Table, column: &TableColumn, how: &Impute) -> Result<String, DataError> {
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
fn categories(
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
fn bounds(
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
fn scaled(
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

fn scaling(
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

fn no_value(train: &Table, column: &TableColumn) -> DataError {
    let message = "no training row has a value; ignore the column";
    train.column_fault(column.name(), message.into())
}
