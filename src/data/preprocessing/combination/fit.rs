//! Combinations as a recipe asks for them, fitted on the training rows.

use std::collections::BTreeMap;

use super::super::super::recipe::{Combine, Impute, Recipe};
use super::super::super::table::{Kind, Table};
use super::super::super::text::quoted;
use super::super::{InputTransform, Preprocessing};
use super::principal::MOST;
use super::{Combination, Neighbours, PrincipalComponents};
use crate::error::DataError;

/// The training rows' features so far, and the columns that each is of.
struct Rows {
    values: Vec<f32>,
    columns: Vec<Vec<String>>,
}

impl Recipe {
    /// The features whose missing numbers come from rows nearby, by the number of these.
    pub(in super::super) fn awaited(
        &self,
        inputs: &[InputTransform],
    ) -> BTreeMap<usize, Vec<usize>> {
        let mut features: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut first = 0;
        for input in inputs {
            let impute = self.column_recipe(&input.column).imputes(Kind::Number);
            if let (true, Some(Impute::Neighbours(count))) = (input.is_number(), impute) {
                features.entry(*count).or_default().push(first);
            }
            first += input.transform.width();
        }
        features
    }

    /// Fits the combinations on the training rows, of which `values` are the features so far, and
    /// returns them as they are afterwards. A missing number is a NaN.
    pub(in super::super) fn combine(
        &self,
        train: &Table,
        fitted: &mut Preprocessing,
        values: Vec<f32>,
    ) -> Result<Vec<f32>, DataError> {
        let columns = fitted.inputs.iter().flat_map(|input| {
            std::iter::repeat_n(vec![input.column.clone()], input.transform.width())
        });
        let mut rows = Rows { columns: columns.collect(), values };
        for (count, features) in self.awaited(&fitted.inputs) {
            if count == 0 {
                return Err(DataError::Invalid("there is no mean of 0 neighbours".into()));
            }
            let neighbours = Neighbours::fit(&rows.values, rows.columns.len(), features, count);
            rows.then(train, fitted, Combination::Neighbours(neighbours))?;
        }
        for (columns, combine) in &self.combinations {
            let features = rows.of(columns);
            if features.is_empty() {
                let columns = quoted(columns.iter().map(String::as_str));
                return Err(DataError::Invalid(format!(
                    "no feature is of {columns} alone; an earlier combination replaced them"
                )));
            }
            let combination = match *combine {
                Combine::Products { squares } => Combination::Products { features, squares },
                Combine::Principal { count, whiten } => {
                    let count = components(train.len(), features.len(), count)?;
                    let width = rows.columns.len();
                    let fitted =
                        PrincipalComponents::fit(&rows.values, width, features, count, whiten);
                    Combination::Principal(fitted)
                }
            };
            rows.then(train, fitted, combination)?;
        }
        Ok(rows.values)
    }
}

/// How many principal components there are to be of so many features.
fn components(rows: usize, features: usize, wanted: Option<usize>) -> Result<usize, DataError> {
    let most = rows.min(features);
    if features > MOST {
        let message = format!(
            "principal components of {features} features are too many, {MOST} is the limit; name \
             fewer columns, or encode words by `ordinal()` or `target_encode()`"
        );
        return Err(DataError::Invalid(message));
    }
    match wanted.unwrap_or(most) {
        _ if rows < 2 => {
            Err(DataError::Invalid("principal components need two training rows".into()))
        }
        count if count == 0 || count > most => Err(DataError::Invalid(format!(
            "{count} principal components are asked for; {rows} training rows of {features} \
             features have 1 to {most}"
        ))),
        count => Ok(count),
    }
}

impl Rows {
    /// The features that are of these columns alone, or all if none is named.
    fn of(&self, columns: &[String]) -> Vec<usize> {
        let named = |of: &Vec<String>| of.iter().all(|column| columns.contains(column));
        let all = self.columns.iter().enumerate();
        all.filter(|(_, of)| columns.is_empty() || named(of)).map(|(place, _)| place).collect()
    }

    /// The rows after one more combination, which is fitted.
    fn then(
        &mut self,
        train: &Table,
        fitted: &mut Preprocessing,
        combination: Combination,
    ) -> Result<(), DataError> {
        let width = self.columns.len();
        combination.check(width).map_err(|what| DataError::Invalid(what.into()))?;
        let values = std::mem::take(&mut self.values);
        let place = fitted.combinations.len();
        fitted.combinations.push(combination);
        self.values = fitted.combined(train, place, values, width)?;
        let columns = std::mem::take(&mut self.columns);
        self.columns = fitted.combinations[place].columns(columns);
        Ok(())
    }
}

impl Combination {
    /// The columns that each feature after it is of.
    fn columns(&self, mut columns: Vec<Vec<String>>) -> Vec<Vec<String>> {
        let union = |features: &mut dyn Iterator<Item = usize>| {
            let mut all: Vec<String> = features.flat_map(|i| columns[i].clone()).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        match self {
            Combination::Neighbours(_) => {}
            Combination::Products { features, squares } => {
                let pairs = super::pairs(features, *squares);
                let products: Vec<_> = pairs.map(|(a, b)| union(&mut [a, b].into_iter())).collect();
                columns.extend(products);
            }
            Combination::Principal(it) => {
                let all = union(&mut it.features.iter().copied());
                columns = it.others(&columns).cloned().collect();
                columns.extend(std::iter::repeat_n(all, it.components.len()));
            }
        }
        columns
    }
}
