//! A recipe fitted on the training rows.

use std::collections::{BTreeSet, HashMap};

use super::super::dataset::Dataset;
use super::super::date::DatePart;
use super::super::recipe::{Encoding, Impute, Recipe, Scale};
use super::super::table::{Cells, Kind, Table, TableColumn};
use super::check::Unchecked;
use super::encoding::{Crossed, Outcomes, TargetEncoding};
use super::inputs::{Known, places, prepared};
use super::statistics::{
    bounds, categories, fill_number, fill_word, no_value, present, scaled, scaling,
};
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
                        None => outcomes.insert(Outcomes::of(target, train, self.groups(train)?)?),
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
        let (ignored, combinations) = (self.ignored.clone(), Vec::new());
        let mut fitted =
            Preprocessing::try_from(Unchecked { inputs, combinations, target, ignored })?;
        let awaited = self.awaited(&fitted.inputs).into_values().flatten().collect();
        let features = fitted.columns(train, &Known { crossed, awaited })?;
        let features = self.combine(train, &mut fitted, features)?;
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
        outcomes: &Outcomes<'_>,
        seed: u64,
    ) -> Result<(Transform, Crossed), DataError> {
        let recipe = self.column_recipe(column.name());
        let fill = recipe.imputes(Kind::Category).map(|how| fill_word(train, column, how));
        let fill = fill.transpose()?;
        let (categories, _) = categories(train, column, fill.as_deref(), recipe.rare)?;
        let places = places(train, column, fill.as_deref(), &categories)?;
        let words = (places, categories.len());
        let (mut encodings, own) = TargetEncoding::fit(train, column, words, outcomes, seed)?;
        for (index, encoding) in encodings.iter_mut().enumerate() {
            let numbers = own.numbers(index);
            (encoding.quantiles, encoding.scaling) = scaled(train, column, recipe.scale, &numbers)?;
        }
        Ok((Transform::Target { fill, categories, encodings }, own))
    }

    fn input(&self, train: &Table, column: &TableColumn) -> Result<Transform, DataError> {
        let recipe = self.column_recipe(column.name());
        let impute = recipe.imputes(column.kind());
        if column.kind() == Kind::Number {
            let mut numbers: Vec<f64> = present(column).collect();
            let awaited = matches!(impute, Some(Impute::Neighbours(_)));
            if awaited && numbers.is_empty() {
                return Err(no_value(train, column));
            }
            let fill = impute.filter(|_| !awaited);
            let fill = fill.map(|how| fill_number(train, column, how, &numbers)).transpose()?;
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
