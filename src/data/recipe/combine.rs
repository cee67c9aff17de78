//! What is to be made of several columns.

use super::Recipe;
use crate::error::DataError;

/// What is made of the features of several columns.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Combine {
    /// Products of each two, and squares.
    Products { squares: bool },
    /// Principal components, all or so many.
    Principal { count: Option<usize>, whiten: bool },
}

/// Combinations are made in the order of these calls, after every column has become numbers and
/// missing ones are filled. Each is of the features that come of the named columns alone, those
/// that earlier combinations made of them included, or of all features if no column is named.
impl Recipe {
    /// The squares of these columns' features, and the product of each two, become features too:
    /// polynomials of degree 2. Scale the columns first.
    pub fn polynomial(self, columns: &[&str]) -> Self {
        self.combine_columns(columns, Combine::Products { squares: true })
    }

    /// As [`Recipe::polynomial`], without squares.
    pub fn interactions(self, columns: &[&str]) -> Self {
        self.combine_columns(columns, Combine::Products { squares: false })
    }

    /// The features of these columns, at most 512, are replaced by their principal components: the
    /// first `count`, or all, as many as features or training rows. See
    /// [`PrincipalComponents`](crate::data::PrincipalComponents). Standardise the columns first,
    /// unless they are in the same unit.
    pub fn principal_components(self, columns: &[&str], count: Option<usize>) -> Self {
        self.combine_columns(columns, Combine::Principal { count, whiten: false })
    }

    /// As [`Recipe::principal_components`], each divided by its deviation: components are
    /// uncorrelated, and each has variance 1.
    pub fn whiten(self, columns: &[&str], count: Option<usize>) -> Self {
        self.combine_columns(columns, Combine::Principal { count, whiten: true })
    }

    fn combine_columns(mut self, columns: &[&str], combine: Combine) -> Self {
        self.combinations.push((columns.iter().map(|&name| name.into()).collect(), combine));
        self
    }

    /// Refuses columns that are no inputs.
    pub(super) fn check_combinations(&self) -> Result<(), DataError> {
        for name in self.combinations.iter().flat_map(|(columns, _)| columns) {
            if self.table.column(name).is_none() {
                return Err(self.table.no_column(name));
            }
            if !self.is_input(name) {
                return Err(DataError::Invalid(format!(
                    "features are combined of inputs, and `{name}` is not one"
                )));
            }
        }
        Ok(())
    }
}
