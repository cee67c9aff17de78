//! Features made of several features, after each column has become its own.

mod fit;
mod neighbours;
mod principal;

pub use neighbours::Neighbours;
pub use principal::PrincipalComponents;

use serde::{Deserialize, Serialize};

use crate::error::DataError;

/// Most features that combinations may make.
const MAX_FEATURES: usize = 1 << 20;

/// What is made of several features. They are told by their places, which count from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Combination {
    /// Numbers that are missing are those of rows nearby.
    Neighbours(Neighbours),
    /// Products of each two of these features come after all others, in this order: of the first
    /// with itself (where squares are wanted), the second, the third; of the second with itself.
    Products {
        /// At least one, ascending.
        features: Vec<usize>,
        /// Whether a feature is multiplied with itself too.
        squares: bool,
    },
    /// Principal components come after all others, in place of the features that they are of.
    Principal(PrincipalComponents),
}

impl Combination {
    /// The features that it is about.
    pub(super) fn features(&self) -> &[usize] {
        match self {
            Combination::Neighbours(it) => &it.features,
            Combination::Products { features, .. } => features,
            Combination::Principal(it) => &it.features,
        }
    }

    /// How many features there are after it, if there were so many before.
    pub(super) fn width(&self, before: usize) -> usize {
        match self {
            Combination::Neighbours(_) => before,
            Combination::Products { features, squares } => {
                before + pairs(features, *squares).count()
            }
            Combination::Principal(it) => before - it.features.len() + it.components.len(),
        }
    }

    /// The names of the features after it.
    pub(super) fn names(&self, mut names: Vec<String>) -> Vec<String> {
        match self {
            Combination::Neighbours(_) => {}
            Combination::Products { features, squares } => {
                let product = |(a, b): (usize, usize)| format!("{} * {}", names[a], names[b]);
                let products: Vec<String> = pairs(features, *squares).map(product).collect();
                names.extend(products);
            }
            Combination::Principal(it) => {
                let own: Vec<&str> = it.features.iter().map(|&i| names[i].as_str()).collect();
                let of = match own[..] {
                    [first, _, _, _, .., last] => format!("{first} to {last}"),
                    _ => own.join(", "),
                };
                let component = |i| format!("component {} of {of}", i + 1);
                let components: Vec<String> = (0..it.components.len()).map(component).collect();
                names = it.others(&names).cloned().collect();
                names.extend(components);
            }
        }
        names
    }

    /// The features of all rows after it, of `width` each before. `too_large` is the error for a
    /// row's feature that single precision can't hold.
    pub(super) fn apply(
        &self,
        mut rows: Vec<f32>,
        width: usize,
        too_large: impl Fn(usize, usize) -> DataError,
    ) -> Result<Vec<f32>, DataError> {
        if let Combination::Neighbours(it) = self {
            it.fill(&mut rows, width)?;
            return Ok(rows);
        }
        let (count, wider) = (rows.len() / width, self.width(width));
        let mut all = Vec::new();
        all.try_reserve_exact(count.saturating_mul(wider)).map_err(|_| {
            let message = format!("{wider} features of {count} rows do not fit into memory");
            DataError::Invalid(message)
        })?;
        for row in rows.chunks_exact(width) {
            match self {
                Combination::Principal(it) => {
                    all.extend(it.others(row));
                    all.extend(it.project(row).map(|x| x as f32));
                }
                Combination::Products { features, squares } => {
                    all.extend_from_slice(row);
                    all.extend(pairs(features, *squares).map(|(a, b)| row[a] * row[b]));
                }
                Combination::Neighbours(_) => {}
            }
        }
        match all.iter().position(|x| !x.is_finite()) {
            None => Ok(all),
            Some(place) => Err(too_large(place / wider, place % wider)),
        }
    }

    /// Checks it against the number of features before.
    pub(super) fn check(&self, before: usize) -> Result<(), &'static str> {
        let features = self.features();
        let ascending = features.windows(2).all(|pair| pair[0] < pair[1]);
        if features.is_empty() || !ascending || features.iter().any(|&feature| feature >= before) {
            return Err("the features of a combination are not places of features, ascending");
        }
        match self {
            Combination::Neighbours(it) => it.check()?,
            Combination::Products { .. } => {}
            Combination::Principal(it) => it.check()?,
        }
        // Not by `width`, which counts one by one.
        let count = features.len();
        if matches!(self, Combination::Products { .. }) && count * count / 2 + before > MAX_FEATURES
        {
            return Err("products make more than 1048576 features");
        }
        match self.width(before) {
            0 => Err("a combination leaves no feature"),
            _ => Ok(()),
        }
    }
}

/// Each two of the features, in order.
fn pairs(features: &[usize], squares: bool) -> impl Iterator<Item = (usize, usize)> {
    let with = move |(i, &a): (usize, &usize)| {
        features[i + usize::from(!squares)..].iter().map(move |&b| (a, b)).collect::<Vec<_>>()
    };
    features.iter().enumerate().flat_map(with)
}
