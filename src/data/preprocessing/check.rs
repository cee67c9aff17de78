//! Preprocessing read from a file is checked before it is trusted.

use std::collections::HashSet;

use serde::Deserialize;

use super::{
    Combination, InputTransform, Preprocessing, Quantiles, Scaling, TargetTransform, Transform,
};
use crate::error::DataError;

/// Most buckets of a hash: each is a feature.
const MAX_BUCKETS: usize = 1 << 20;
/// Most features of all columns together.
const MAX_FEATURES: usize = 1 << 24;

/// The fields of [`Preprocessing`] as they stand in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unchecked {
    pub(super) inputs: Vec<InputTransform>,
    #[serde(default)]
    pub(super) combinations: Vec<Combination>,
    pub(super) target: TargetTransform,
    pub(super) ignored: Vec<String>,
}

impl TryFrom<Unchecked> for Preprocessing {
    type Error = DataError;

    fn try_from(raw: Unchecked) -> Result<Preprocessing, DataError> {
        let Unchecked { inputs, combinations, target, ignored } = raw;
        let mut names = HashSet::new();
        let mut parts = HashSet::new();
        for input in &inputs {
            // Parts of one date may share its name, once each.
            let dated = parts.insert((&input.column, input.part)) && input.part.is_some();
            let first = names.insert(&input.column);
            if !(first || dated && !parts.contains(&(&input.column, None))) {
                return Err(fault(&input.column, "named twice"));
            }
            if input.part.is_some() && !matches!(input.transform, Transform::Number { .. }) {
                return Err(fault(&input.column, "a part of a date is a number"));
            }
        }
        for name in target.columns().into_iter().chain(&ignored) {
            if !names.insert(name) {
                return Err(fault(name, "named twice"));
            }
        }
        if inputs.is_empty() {
            return Err(DataError::Invalid("preprocessing without inputs".into()));
        }
        for input in &inputs {
            input.transform.check().map_err(|what| fault(&input.column, what))?;
        }
        match &target {
            TargetTransform::Classes { column, classes } => {
                distinct(classes).map_err(|what| fault(column, what))?;
            }
            TargetTransform::Numbers(targets) => {
                if targets.is_empty() {
                    return Err(DataError::Invalid("preprocessing without targets".into()));
                }
                for target in targets {
                    target.scaling.check().map_err(|what| fault(&target.column, what))?;
                }
            }
        }
        check_combinations(&inputs, &combinations).map_err(|what| {
            DataError::Invalid(format!("preprocessing of several columns: {what}"))
        })?;
        Ok(Preprocessing { inputs, combinations, target, ignored })
    }
}

fn check_combinations(
    inputs: &[InputTransform],
    combinations: &[Combination],
) -> Result<(), &'static str> {
    let mut widths = inputs.iter().map(|input| input.transform.width());
    let all = widths.try_fold(0usize, usize::checked_add).filter(|&all| all <= MAX_FEATURES);
    let (mut width, mut first) = (all.ok_or("there are more than 16 million features")?, true);
    let numbers = inputs.iter().flat_map(|input| {
        let width = input.transform.width();
        std::iter::repeat_n(matches!(input.transform, Transform::Number { .. }), width)
    });
    let numbers: Vec<bool> = numbers.collect();
    for combination in combinations {
        combination.check(width)?;
        match combination {
            Combination::Neighbours(it) if first => {
                if !it.features.iter().all(|&feature| numbers[feature]) {
                    return Err("neighbours fill numbers, and a feature is none");
                }
            }
            Combination::Neighbours(_) => {
                return Err("neighbours come before all other combinations");
            }
            _ => first = false,
        }
        width = combination.width(width);
    }
    Ok(())
}

fn fault(column: &str, what: &str) -> DataError {
    DataError::Invalid(format!("preprocessing of column `{column}`: {what}"))
}

impl Transform {
    fn check(&self) -> Result<(), &'static str> {
        match self {
            Transform::Number { fill, clip, quantiles, scaling, .. } => {
                quantiles.as_ref().map_or(Ok(()), Quantiles::check)?;
                scaling.check()?;
                if clip.is_some_and(|(low, high)| {
                    !(low.is_finite() && high.is_finite() && low <= high)
                }) {
                    return Err("the bounds to clip at are not two finite numbers in order");
                }
                let finite = fill.is_none_or(f64::is_finite);
                if finite { Ok(()) } else { Err("the imputed value is not finite") }
            }
            // A list of no words may still have the number for all others.
            Transform::OneHot { categories, other: true, .. } if categories.is_empty() => Ok(()),
            Transform::OneHot { categories, .. } | Transform::Ordinal { categories, .. } => {
                distinct(categories)
            }
            Transform::Target { categories, encodings, .. } => {
                if encodings.is_empty() {
                    return Err("there is no encoding by the target");
                }
                // As with one-hot ones, all words may be rare.
                if !categories.is_empty() {
                    distinct(categories)?;
                }
                encodings.iter().try_for_each(|encoding| encoding.check(categories.len()))
            }
            Transform::Hash { buckets, .. } => match buckets {
                1..=MAX_BUCKETS => Ok(()),
                _ => Err("a hash has 1 to 1048576 buckets"),
            },
        }
    }
}

impl Scaling {
    pub(super) fn check(self) -> Result<(), &'static str> {
        let (offset, divisor) = self.parts();
        if offset.is_finite() && divisor.is_finite() && divisor > 0.0 {
            return Ok(());
        }
        Err("the scaling is not of finite numbers with a positive width")
    }
}

/// Refuses an empty list and one that names something twice.
fn distinct(words: &[String]) -> Result<(), &'static str> {
    if words.is_empty() {
        return Err("there are no categories");
    }
    let unique: HashSet<&String> = words.iter().collect();
    if unique.len() == words.len() { Ok(()) } else { Err("a category is listed twice") }
}
