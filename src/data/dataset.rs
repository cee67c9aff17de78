//! [`Dataset`]: columns shared between all its subsets, and a list of rows.

use std::collections::HashSet;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use super::column::{Column, Values};
use super::media::Media;
use super::preprocessing::Preprocessing;
use crate::error::DataError;
use crate::tensor::DType;

/// Bytes that training may hold of rows that stay in files, unless something else is said.
const DEFAULT_MEMORY: usize = 1 << 30;

fn check_names(what: &str, columns: &[Column]) -> Result<(), DataError> {
    let mut names = HashSet::new();
    match columns.iter().find(|column| !names.insert(&column.name)) {
        None => Ok(()),
        Some(Column { name, .. }) => {
            Err(DataError::Invalid(format!("two {what} columns are named `{name}`")))
        }
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
    pub(super) inputs: Vec<Column>,
    pub(super) targets: Vec<Column>,
    pub(super) rows: Selection,
    pub(super) len: usize,
    /// One per row of the subset.
    pub(super) weights: Option<Arc<[f32]>>,
    /// One per row of the subset too.
    pub(super) groups: Option<Arc<[u32]>>,
    /// Of rows that were read from files: which of the data's rows they are.
    pub(super) numbers: Option<Arc<[u32]>>,
    pub(super) preprocessing: Option<Arc<Preprocessing>>,
    pub(super) media: Option<Arc<Media>>,
    /// Bytes that training may hold of rows that stay in files.
    pub(super) memory: usize,
}

/// Which rows of the columns a dataset has, in which order.
#[derive(Clone, Debug)]
pub(super) enum Selection {
    /// As many as it has, from this one on.
    From(usize),
    These(Arc<[usize]>),
}

impl Dataset {
    /// A dataset of one or more inputs and any number of targets (none: rows to predict).
    ///
    /// Indices of a target are class labels; if they have no names they are named "0", "1", ...
    ///
    /// # Errors
    /// If there is no input or no row, row counts differ, two inputs or two targets share a name,
    /// elements do not make whole rows, a number is not finite (the column and row are named), or a label has no
    /// name or is absurdly large.
    pub fn new(inputs: Vec<Column>, mut targets: Vec<Column>) -> Result<Dataset, DataError> {
        let Some(first) = inputs.first() else {
            return Err(DataError::Invalid("a dataset needs at least one input column".into()));
        };
        let len = first.rows()?;
        if len == 0 {
            return Err(DataError::Invalid(format!("column `{}` has no rows", first.name)));
        }
        check_names("input", &inputs)?;
        check_names("target", &targets)?;
        for column in inputs.iter().chain(&targets) {
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
        Ok(Dataset {
            inputs,
            targets,
            rows: Selection::From(0),
            len,
            weights: None,
            groups: None,
            numbers: None,
            preprocessing: None,
            media: None,
            memory: DEFAULT_MEMORY,
        })
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

    /// How raw rows became these, if they came from a table.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_deref()
    }

    /// How raw files became these, if they came from a folder of images or sounds.
    pub fn media(&self) -> Option<&Media> {
        self.media.as_deref()
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
        let start = start.min(end);
        let Selection::From(first) = self.rows else {
            return self.subset((start..end).collect());
        };
        let weights = self.weights.as_ref().map(|weights| weights[start..end].into());
        let groups = self.groups.as_ref().map(|groups| groups[start..end].into());
        let rows = Selection::From(first + start);
        Dataset { rows, len: end - start, weights, groups, ..self.clone() }
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
        let groups =
            self.groups.as_ref().map(|groups| rows.iter().map(|&row| groups[row]).collect());
        let len = rows.len();
        let rows: Vec<usize> = rows.into_iter().map(|row| self.base_row(row)).collect();
        Dataset { rows: Selection::These(rows.into()), len, weights, groups, ..self.clone() }
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
            Values::Stored(stored) => {
                return self.runs(column.row_elements(), rows, out, |first, out| {
                    stored.read_f32(first, out)
                });
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
        match &*column.values {
            Values::U32(values) => self.gather(values, column.row_elements(), rows, out, |x| x),
            Values::Stored(stored) if stored.dtype() == DType::U32 => {
                return self.runs(column.row_elements(), rows, out, |first, out| {
                    stored.read_u32(first, out)
                });
            }
            _ => {
                return Err(DataError::Invalid(format!(
                    "column `{}` holds numbers where indices are asked for",
                    column.name
                )));
            }
        }
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

    /// Reads rows that follow each other in the columns at once, from the place of their first
    /// element.
    fn runs<B>(
        &self,
        per_row: usize,
        mut rows: &[usize],
        mut out: &mut [B],
        read: impl Fn(usize, &mut [B]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        while let Some(&row) = rows.first() {
            let first = self.base_row(row);
            let follow = rows.iter().zip(first..).take_while(|&(&r, at)| self.base_row(r) == at);
            let count = follow.count();
            let (run, rest) = out.split_at_mut(count * per_row);
            read(first * per_row, run)?;
            (rows, out) = (&rows[count..], rest);
        }
        Ok(())
    }

    /// All columns.
    pub(super) fn columns(&self) -> impl Iterator<Item = (ColumnId, &Column)> {
        let inputs = self.inputs.iter().enumerate().map(|(i, c)| (ColumnId::Input(i), c));
        let targets = self.targets.iter().enumerate();
        inputs.chain(targets.map(|(i, c)| (ColumnId::Target(i), c)))
    }

    /// Whether all rows of the columns are here, in their order.
    pub(super) fn is_whole(&self) -> bool {
        let all = self.inputs[0].values.len() == self.len * self.features();
        matches!(self.rows, Selection::From(0)) && all
    }

    /// The row of the columns behind a row of this subset.
    pub(super) fn base_row(&self, row: usize) -> usize {
        match &self.rows {
            Selection::From(first) => first + row,
            Selection::These(rows) => rows[row],
        }
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

    pub(super) fn check_rows(&self, rows: &[usize]) -> Result<(), DataError> {
        match rows.iter().find(|&&row| row >= self.len) {
            None => Ok(()),
            Some(row) => Err(DataError::Invalid(format!(
                "there is no row {row}, the dataset has {} rows",
                self.len
            ))),
        }
    }
}
