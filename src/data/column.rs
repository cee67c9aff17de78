//! [`Column`]: named elements, so many per row.

use std::sync::Arc;

use super::stored::Stored;
use crate::error::DataError;
use crate::tensor::DType;

/// Most classes that labels without names may have; more is taken for a mistake.
const MAX_CLASSES: u32 = 1 << 20;

/// The elements of a [`Column`], row after row.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Values {
    /// Numbers.
    F32(Vec<f32>),
    /// Indices: class labels or token numbers.
    U32(Vec<u32>),
    /// Numbers or indices that stay in a file.
    Stored(Stored),
}

impl Values {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::U32(v) => v.len(),
            Values::Stored(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is known without looking that all indices are below a limit, as it is of a file's
    /// that were looked at when it was opened.
    pub(crate) fn all_indices_below(&self, limit: usize) -> bool {
        matches!(self, Values::Stored(stored) if (stored.largest().0 as usize) < limit)
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        match self {
            Values::F32(_) => DType::F32,
            Values::U32(_) => DType::U32,
            Values::Stored(v) => v.dtype(),
        }
    }
}

/// A named column: for every row a small array of [`Column::row_shape`]. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Name, unique in its dataset.
    pub name: String,
    /// Sizes of one row, outermost first; `[]` is one number per row.
    pub row_shape: Vec<usize>,
    /// What index `i` stands for; empty for numbers and for indices without names.
    pub categories: Vec<String>,
    /// All elements, row after row.
    pub values: Arc<Values>,
}

impl Column {
    /// A column of numbers, each row of sizes `row_shape`.
    pub fn numbers(name: impl Into<String>, row_shape: &[usize], values: Vec<f32>) -> Column {
        Column::new(name.into(), row_shape.to_vec(), Values::F32(values), Vec::new())
    }

    /// A column of indices, each row of sizes `row_shape`.
    pub fn indices(name: impl Into<String>, row_shape: &[usize], values: Vec<u32>) -> Column {
        Column::new(name.into(), row_shape.to_vec(), Values::U32(values), Vec::new())
    }

    /// One class label per row, `categories[label]` being its name.
    pub fn labels(name: impl Into<String>, labels: Vec<u32>, categories: Vec<String>) -> Column {
        Column::new(name.into(), Vec::new(), Values::U32(labels), categories)
    }

    pub(super) fn new(
        name: String,
        row_shape: Vec<usize>,
        values: Values,
        categories: Vec<String>,
    ) -> Column {
        Column { name, row_shape, categories, values: Arc::new(values) }
    }

    /// Elements of one row: the product of its sizes.
    pub fn row_elements(&self) -> usize {
        self.row_shape.iter().fold(1, |n, &size| n.saturating_mul(size))
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.values.dtype()
    }

    /// Number of rows, if the sizes are positive and divide the number of elements.
    pub(super) fn rows(&self) -> Result<usize, DataError> {
        let per_row = self.row_shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        match per_row {
            Some(per_row) if per_row > 0 && self.values.len().is_multiple_of(per_row) => {
                Ok(self.values.len() / per_row)
            }
            _ => Err(DataError::Invalid(format!(
                "column `{}`: {} elements do not make whole rows of sizes {:?}",
                self.name,
                self.values.len(),
                self.row_shape
            ))),
        }
    }

    /// Refuses numbers that are not finite and labels without a name.
    pub(super) fn check_values(&self) -> Result<(), DataError> {
        let fault = match &*self.values {
            Values::F32(v) => v.iter().position(|x| !x.is_finite()).map(|i| {
                (i, format!("{} is not a finite number; impute or remove such rows first", v[i]))
            }),
            Values::U32(_) if self.categories.is_empty() => None,
            Values::U32(v) => {
                let unnamed = v.iter().position(|&x| x as usize >= self.categories.len());
                unnamed.map(|i| (i, self.unnamed(v[i])))
            }
            // Its elements were looked at when it was opened.
            Values::Stored(v) => {
                let (label, at) = v.largest();
                let wrong = !self.categories.is_empty() && label as usize >= self.categories.len();
                wrong.then(|| (at, self.unnamed(label)))
            }
        };
        fault.map_or(Ok(()), |(index, what)| {
            let row = index / self.row_elements();
            Err(DataError::Invalid(format!("column `{}`, row {row}: {what}", self.name)))
        })
    }

    fn unnamed(&self, label: u32) -> String {
        format!("label {label} has no name, there are {} classes", self.categories.len())
    }

    /// Names the classes of a target's labels "0", "1", ... if they have no names.
    pub(super) fn name_classes(&mut self) -> Result<(), DataError> {
        if self.dtype() != DType::U32 || !self.categories.is_empty() {
            return Ok(());
        }
        let (last, at) = match &*self.values {
            Values::F32(_) => return Ok(()),
            Values::U32(labels) => {
                let last = labels.iter().enumerate().max_by_key(|&(_, label)| label);
                let (at, &last) = last.expect("invariant: a dataset has rows");
                (last, at)
            }
            Values::Stored(stored) => stored.largest(),
        };
        if last >= MAX_CLASSES {
            return Err(DataError::Invalid(format!(
                "column `{}`, row {}: label {last} is too large; number the classes from 0",
                self.name,
                at / self.row_elements()
            )));
        }
        self.categories = (0..=last).map(|label| label.to_string()).collect();
        Ok(())
    }
}
