//! [`Dataset`]: columns shared between all its subsets, and a list of rows.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

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
}

impl Values {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Values::F32(v) => v.len(),
            Values::U32(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        match self {
            Values::F32(_) => DType::F32,
            Values::U32(_) => DType::U32,
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
        self.row_shape.iter().product()
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.values.dtype()
    }

    /// Number of rows, if the sizes are positive and divide the number of elements.
    fn rows(&self) -> Result<usize, DataError> {
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
    fn check_values(&self) -> Result<(), DataError> {
        let fault = match &*self.values {
            Values::F32(v) => v.iter().position(|x| !x.is_finite()).map(|i| {
                (i, format!("{} is not a finite number; impute or remove such rows first", v[i]))
            }),
            Values::U32(_) if self.categories.is_empty() => None,
            Values::U32(v) => {
                let classes = self.categories.len();
                v.iter().position(|&label| label as usize >= classes).map(|i| {
                    (i, format!("label {} has no name, there are {classes} classes", v[i]))
                })
            }
        };
        fault.map_or(Ok(()), |(index, what)| {
            let row = index / self.row_elements();
            Err(DataError::Invalid(format!("column `{}`, row {row}: {what}", self.name)))
        })
    }

    /// Names the classes of a target's labels "0", "1", ... if they have no names.
    fn name_classes(&mut self) -> Result<(), DataError> {
        let Values::U32(labels) = &*self.values else { return Ok(()) };
        if !self.categories.is_empty() {
            return Ok(());
        }
        let (row, &last) = labels
            .iter()
            .enumerate()
            .max_by_key(|&(_, label)| label)
            .expect("invariant: a dataset has rows");
        if last >= MAX_CLASSES {
            return Err(DataError::Invalid(format!(
                "column `{}`, row {}: label {last} is too large; number the classes from 0",
                self.name,
                row / self.row_elements()
            )));
        }
        self.categories = (0..=last).map(|label| label.to_string()).collect();
        Ok(())
    }
}

/// One of a dataset's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnId {
    /// The input of this index.
    Input(usize),
    /// The target of this index.
    Target(usize),
}

/// What a dataset asks of a model; the loss follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Choose one of so many classes.
    Classification {
        /// Number of classes.
        classes: usize,
    },
    /// Say so many numbers.
    Regression {
        /// Numbers per row.
        outputs: usize,
    },
    /// Nothing: there are no targets, as in rows to predict.
    Unlabelled,
}

impl Task {
    /// Width of the last layer: the classes or the numbers; 0 without targets.
    pub fn outputs(self) -> usize {
        match self {
            Task::Classification { classes } => classes,
            Task::Regression { outputs } => outputs,
            Task::Unlabelled => 0,
        }
    }
}

/// Named columns of equal row count. Cloning and taking subsets copies no elements.
///
/// ```
/// use ironwarp::data::{Column, Dataset, Task};
///
/// let x = Column::numbers("x", &[2], vec![0.0, 0.1, 1.0, 1.1, 2.0, 2.1]);
/// let y = Column::indices("y", &[], vec![0, 1, 1]);
/// let data = Dataset::new(vec![x], vec![y])?;
/// assert_eq!((data.len(), data.features(), data.classes()), (3, 2, 2));
/// assert_eq!(data.task(), Task::Classification { classes: 2 });
/// # Ok::<(), ironwarp::error::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Dataset {
    inputs: Vec<Column>,
    targets: Vec<Column>,
    /// Which rows of the columns, in which order; all of them if `None`.
    rows: Option<Arc<[usize]>>,
    len: usize,
    /// One per row of the subset.
    pub(super) weights: Option<Arc<[f32]>>,
}

impl Dataset {
    /// A dataset of one or more inputs and any number of targets (none: rows to predict).
    ///
    /// Indices of a target are class labels; if they have no names they are named "0", "1", ...
    ///
    /// # Errors
    /// If there is no input or no row, row counts differ, a name is taken twice, elements do not
    /// make whole rows, a number is not finite (the column and row are named), or a label has no
    /// name or is absurdly large.
    pub fn new(inputs: Vec<Column>, mut targets: Vec<Column>) -> Result<Dataset, DataError> {
        let Some(first) = inputs.first() else {
            return Err(DataError::Invalid("a dataset needs at least one input column".into()));
        };
        let len = first.rows()?;
        if len == 0 {
            return Err(DataError::Invalid(format!("column `{}` has no rows", first.name)));
        }
        let mut names = std::collections::HashSet::new();
        for column in inputs.iter().chain(&targets) {
            if !names.insert(&column.name) {
                return Err(DataError::Invalid(format!(
                    "column name `{}` is taken twice",
                    column.name
                )));
            }
            let rows = column.rows()?;
            if rows != len {
                return Err(DataError::Invalid(format!(
                    "column `{}` has {rows} rows, column `{}` has {len}",
                    column.name, first.name
                )));
            }
            column.check_values()?;
        }
        targets.iter_mut().try_for_each(Column::name_classes)?;
        Ok(Dataset { inputs, targets, rows: None, len, weights: None })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no rows, as after [`Dataset::rows`] of an empty range.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The input columns. Their values are those of all rows the dataset was made with; use
    /// [`Dataset::gather_f32`] for rows of this subset.
    pub fn inputs(&self) -> &[Column] {
        &self.inputs
    }

    /// The target columns; as for [`Dataset::inputs`].
    pub fn targets(&self) -> &[Column] {
        &self.targets
    }

    /// Elements per row of the first input: the width of a model that reads it.
    pub fn features(&self) -> usize {
        self.inputs[0].row_elements()
    }

    /// What the first target asks for.
    pub fn task(&self) -> Task {
        match self.targets.first() {
            None => Task::Unlabelled,
            Some(target) => match target.dtype() {
                DType::U32 => Task::Classification { classes: target.categories.len() },
                _ => Task::Regression { outputs: target.row_elements() },
            },
        }
    }

    /// Number of classes of the first target; 0 if it holds numbers.
    pub fn classes(&self) -> usize {
        self.class_names().len()
    }

    /// Names of the first target's classes, in order of the labels; empty if it holds numbers.
    pub fn class_names(&self) -> &[String] {
        self.targets.first().map_or(&[], |target| &target.categories)
    }

    /// The rows of a range, which is cut to the rows that there are, as a slice of Python's is.
    pub fn rows(&self, range: impl RangeBounds<usize>) -> Dataset {
        let start = match range.start_bound() {
            Bound::Included(&n) => n,
            Bound::Excluded(&n) => n.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&n) => n.saturating_add(1),
            Bound::Excluded(&n) => n,
            Bound::Unbounded => self.len,
        };
        let end = end.min(self.len);
        self.subset((start.min(end)..end).collect())
    }

    /// The rows of these indices, in this order; an index may come more than once.
    ///
    /// # Errors
    /// If an index is not a row's.
    pub fn select(&self, rows: &[usize]) -> Result<Dataset, DataError> {
        self.check_rows(rows)?;
        Ok(self.subset(rows.to_vec()))
    }

    /// [`Dataset::select`] of rows known to exist.
    pub(super) fn subset(&self, rows: Vec<usize>) -> Dataset {
        let weights =
            self.weights.as_ref().map(|weights| rows.iter().map(|&row| weights[row]).collect());
        let len = rows.len();
        let rows = match &self.rows {
            None => rows,
            Some(base) => rows.into_iter().map(|row| base[row]).collect(),
        };
        Dataset { rows: Some(rows.into()), len, weights, ..self.clone() }
    }

    /// Copies rows of a column into `out`, row after row, indices as numbers (exact below 2^24).
    /// The length of `out` is `rows.len()` times [`Column::row_elements`].
    ///
    /// # Errors
    /// If the column or a row does not exist, or `out` has another length.
    pub fn gather_f32(
        &self,
        column: ColumnId,
        rows: &[usize],
        out: &mut [f32],
    ) -> Result<(), DataError> {
        let column = self.check_gather(column, rows, out.len())?;
        match &*column.values {
            Values::F32(values) => self.gather(values, column.row_elements(), rows, out, |x| x),
            Values::U32(values) => {
                self.gather(values, column.row_elements(), rows, out, |x| x as f32)
            }
        }
        Ok(())
    }

    /// Copies rows of a column of indices into `out`, as [`Dataset::gather_f32`] does.
    ///
    /// # Errors
    /// As [`Dataset::gather_f32`], and if the column holds numbers.
    pub fn gather_u32(
        &self,
        column: ColumnId,
        rows: &[usize],
        out: &mut [u32],
    ) -> Result<(), DataError> {
        let column = self.check_gather(column, rows, out.len())?;
        let Values::U32(values) = &*column.values else {
            return Err(DataError::Invalid(format!(
                "column `{}` holds numbers where indices are asked for",
                column.name
            )));
        };
        self.gather(values, column.row_elements(), rows, out, |x| x);
        Ok(())
    }

    fn gather<A: Copy, B>(
        &self,
        values: &[A],
        per_row: usize,
        rows: &[usize],
        out: &mut [B],
        convert: impl Fn(A) -> B,
    ) {
        for (&row, out) in rows.iter().zip(out.chunks_exact_mut(per_row)) {
            let start = self.base_row(row) * per_row;
            for (out, &value) in out.iter_mut().zip(&values[start..start + per_row]) {
                *out = convert(value);
            }
        }
    }

    /// The row of the columns behind a row of this subset.
    pub(super) fn base_row(&self, row: usize) -> usize {
        self.rows.as_ref().map_or(row, |rows| rows[row])
    }

    fn check_gather(
        &self,
        column: ColumnId,
        rows: &[usize],
        out: usize,
    ) -> Result<&Column, DataError> {
        let (what, index, columns) = match column {
            ColumnId::Input(index) => ("input", index, &self.inputs),
            ColumnId::Target(index) => ("target", index, &self.targets),
        };
        let column = columns.get(index).ok_or_else(|| {
            DataError::Invalid(format!("there is no {what} {index}, only {}", columns.len()))
        })?;
        self.check_rows(rows)?;
        let needed = rows.len() * column.row_elements();
        if out != needed {
            return Err(DataError::Invalid(format!(
                "column `{}`: {} rows need a buffer of {needed} elements, it has {out}",
                column.name,
                rows.len()
            )));
        }
        Ok(column)
    }

    fn check_rows(&self, rows: &[usize]) -> Result<(), DataError> {
        match rows.iter().find(|&&row| row >= self.len) {
            None => Ok(()),
            Some(row) => Err(DataError::Invalid(format!(
                "there is no row {row}, the dataset has {} rows",
                self.len
            ))),
        }
    }
}
