//! What is to be done to a table's columns, before it is fitted.

mod column;

pub use column::{ColumnRecipe, Encoding, Impute, Scale};

use super::column::Values;
use super::dataset::{Dataset, Task};
use super::preprocessing::TargetTransform;
use super::split::{Parts, fold_rows, fold_rows_stratified, split_rows, split_rows_stratified};
use super::table::{Table, TableColumn};
use crate::error::DataError;

/// A table and what is to be done to its columns. Nothing is computed until the recipe is split
/// or built; then means, categories and the like are fitted on the training rows alone, and
/// applied to all. The inputs become one column, `features`, in the table's order.
///
/// Settings of inputs are for all columns; [`Recipe::column`] makes exceptions.
///
/// A target of categories asks for a classification. So does one of numbers if these are exactly
/// 0, 1, ... up to a last class of at most 999, each of them occurring, on average twice or more;
/// other numbers ask for a regression. [`Recipe::classification`] and [`Recipe::regression`]
/// overrule that. Classes are those of the whole table, sorted.
///
/// ```
/// use ironwarp::data::{Csv, Impute};
///
/// let text = "rooms,view,price\n3,sea,310\n,park,200\n2,sea,220\n5,park,390\n";
/// let (train, test) = Csv::new(text.as_bytes())
///     .target("price")?
///     .impute(Impute::Median)
///     .standardize()
///     .split(0.75, 7)?;
/// assert_eq!((train.len(), test.len()), (3, 1));
/// # Ok::<(), ironwarp::error::DataError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Recipe {
    pub(super) table: Table,
    pub(super) targets: Vec<String>,
    pub(super) ignored: Vec<String>,
    /// Classification (`true`) or regression, if the user said so.
    pub(super) classify: Option<bool>,
    pub(super) standardize_target: bool,
    drop_missing: bool,
    drop_duplicates: bool,
    defaults: ColumnRecipe,
    exceptions: Vec<(String, ColumnRecipe)>,
}

impl Recipe {
    pub(super) fn new(table: Table, targets: &[&str]) -> Result<Recipe, DataError> {
        for (index, name) in targets.iter().enumerate() {
            if table.column(name).is_none() {
                return Err(table.no_column(name));
            }
            if targets[..index].contains(name) {
                return Err(DataError::Invalid(format!("target `{name}` is named twice")));
            }
        }
        if targets.is_empty() {
            return Err(DataError::Invalid("at least one target column must be named".into()));
        }
        Ok(Recipe {
            table,
            targets: targets.iter().map(|&name| name.into()).collect(),
            ignored: Vec::new(),
            classify: None,
            standardize_target: false,
            drop_missing: false,
            drop_duplicates: false,
            defaults: ColumnRecipe::default(),
            exceptions: Vec::new(),
        })
    }

    /// An exception for one input column, which starts from what was said for all before.
    pub fn column(mut self, name: &str, change: impl FnOnce(ColumnRecipe) -> ColumnRecipe) -> Self {
        let changed = change(self.column_recipe(name).clone());
        self.exceptions.retain(|(other, _)| other != name);
        self.exceptions.push((name.into(), changed));
        self
    }

    /// Columns that are not inputs, such as row numbers.
    pub fn ignore(mut self, columns: &[&str]) -> Self {
        self.ignored.extend(columns.iter().map(|&name| String::from(name)));
        self.ignored.sort_unstable();
        self.ignored.dedup();
        self
    }

    /// Leaves out rows with a missing target, and rows with a missing input for which there is
    /// no imputation. By default they are errors.
    pub fn drop_missing(self) -> Self {
        Recipe { drop_missing: true, ..self }
    }

    /// Leaves out rows that equal an earlier one in all columns that are not ignored, so that no
    /// row of a test was met in training.
    pub fn drop_duplicates(self) -> Self {
        Recipe { drop_duplicates: true, ..self }
    }

    /// Each different value of the target is a class.
    pub fn classification(self) -> Self {
        Recipe { classify: Some(true), ..self }
    }

    /// The target is a number even if its values look like classes.
    pub fn regression(self) -> Self {
        Recipe { classify: Some(false), ..self }
    }

    /// Standardises targets of numbers too. Predictions are brought back by
    /// [`Preprocessing::inverse_transform_targets`](super::Preprocessing::inverse_transform_targets).
    pub fn standardize_target(self) -> Self {
        Recipe { standardize_target: true, ..self }
    }

    /// What the target asks for.
    ///
    /// # Errors
    /// As [`Recipe::build`], as far as the target is concerned.
    pub fn task(&self) -> Result<Task, DataError> {
        Ok(match self.target_transform(&self.rows()?)? {
            TargetTransform::Classes { classes, .. } => {
                Task::Classification { classes: classes.len() }
            }
            TargetTransform::Numbers(targets) => Task::Regression { outputs: targets.len() },
        })
    }

    /// The dataset of all rows, fitted on all rows.
    ///
    /// # Errors
    /// If a named column does not exist, a setting does not fit a column, or a cell is missing
    /// where nothing was said about missing cells (the line and column are named).
    pub fn build(&self) -> Result<Dataset, DataError> {
        let table = self.rows()?;
        let preprocessing = self.fit(&table, &self.target_transform(&table)?)?;
        preprocessing.apply(&table)
    }

    /// Splits the rows as [`Dataset::split`] does, and fits on the first part.
    ///
    /// # Errors
    /// As [`Recipe::build`] and [`Dataset::split`].
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Dataset, Dataset), DataError> {
        let table = self.rows()?;
        let target = self.target_transform(&table)?;
        self.part(&table, &target, &split_rows(table.len(), fraction, seed)?)
    }

    /// Splits the rows as [`Dataset::split_stratified`] does, and fits on the first part.
    ///
    /// # Errors
    /// As [`Recipe::build`] and [`Dataset::split_stratified`].
    pub fn split_stratified(
        &self,
        fraction: f64,
        seed: u64,
    ) -> Result<(Dataset, Dataset), DataError> {
        let table = self.rows()?;
        let target = self.target_transform(&table)?;
        let labels = labels(&table, &target)?;
        self.part(&table, &target, &split_rows_stratified(&labels, fraction, seed)?)
    }

    /// Splits the rows as [`Dataset::k_fold`] does, and fits on each fold's training rows.
    ///
    /// # Errors
    /// As [`Recipe::build`] and [`Dataset::k_fold`].
    pub fn k_fold(
        &self,
        k: usize,
        seed: u64,
    ) -> Result<impl Iterator<Item = Result<(Dataset, Dataset), DataError>> + use<>, DataError>
    {
        let table = self.rows()?;
        let target = self.target_transform(&table)?;
        let folds = fold_rows(table.len(), k, seed)?;
        let recipe = self.clone();
        Ok(folds.into_iter().map(move |parts| recipe.part(&table, &target, &parts)))
    }

    /// Splits the rows as [`Dataset::k_fold_stratified`] does, and fits on each fold's training
    /// rows.
    ///
    /// # Errors
    /// As [`Recipe::build`] and [`Dataset::k_fold_stratified`].
    pub fn k_fold_stratified(
        &self,
        k: usize,
        seed: u64,
    ) -> Result<impl Iterator<Item = Result<(Dataset, Dataset), DataError>> + use<>, DataError>
    {
        let table = self.rows()?;
        let target = self.target_transform(&table)?;
        let folds = fold_rows_stratified(&labels(&table, &target)?, k, seed)?;
        let recipe = self.clone();
        Ok(folds.into_iter().map(move |parts| recipe.part(&table, &target, &parts)))
    }

    fn part(
        &self,
        table: &Table,
        target: &TargetTransform,
        (first, second): &Parts,
    ) -> Result<(Dataset, Dataset), DataError> {
        let first = table.subset(first);
        let preprocessing = self.fit(&first, target)?;
        Ok((preprocessing.apply(&first)?, preprocessing.apply(&table.subset(second))?))
    }

    pub(super) fn column_recipe(&self, name: &str) -> &ColumnRecipe {
        let exception = self.exceptions.iter().find(|(other, _)| other == name);
        exception.map_or(&self.defaults, |(_, recipe)| recipe)
    }

    /// Whether a column is neither target nor ignored.
    pub(super) fn is_input(&self, name: &str) -> bool {
        !self.targets.iter().chain(&self.ignored).any(|other| other == name)
    }

    /// The table without the rows to leave out, every name in the recipe checked.
    fn rows(&self) -> Result<Table, DataError> {
        for name in self.ignored.iter().chain(self.exceptions.iter().map(|(name, _)| name)) {
            if self.table.column(name).is_none() {
                return Err(self.table.no_column(name));
            }
        }
        if let Some((name, _)) = self.exceptions.iter().find(|(name, _)| !self.is_input(name)) {
            return Err(DataError::Invalid(format!(
                "`column(\"{name}\")` is for inputs, and `{name}` is not one"
            )));
        }
        if let Some(name) = self.targets.iter().find(|name| self.ignored.contains(name)) {
            return Err(DataError::Invalid(format!("the target `{name}` cannot be ignored")));
        }
        let mut kept = vec![true; self.table.len()];
        if self.drop_missing {
            for column in self.table.columns().iter().filter(|column| self.is_needed(column)) {
                let rows = kept.iter_mut().enumerate();
                rows.for_each(|(row, kept)| *kept &= !column.is_missing(row));
            }
        }
        if self.drop_duplicates {
            let ignored = |column: &TableColumn| self.ignored.iter().any(|n| n == column.name());
            let duplicates = self.table.duplicates_in(|column| !ignored(column));
            duplicates.into_iter().for_each(|row| kept[row] = false);
        }
        if kept.iter().all(|&kept| kept) {
            return Ok(self.table.clone());
        }
        let rows: Vec<usize> = (0..self.table.len()).filter(|&row| kept[row]).collect();
        self.table.select(&rows)
    }

    /// Whether nothing stands in for a missing cell of this column.
    fn is_needed(&self, column: &TableColumn) -> bool {
        let recipe = self.column_recipe(column.name());
        let imputed = self.is_input(column.name()) && recipe.imputes(column.kind()).is_some();
        let ignored = self.ignored.iter().any(|name| name == column.name());
        !(imputed || ignored)
    }
}

/// The class labels of a table's rows.
fn labels(table: &Table, target: &TargetTransform) -> Result<Vec<u32>, DataError> {
    match &*target.apply(table)?.values {
        Values::U32(labels) => Ok(labels.clone()),
        _ => Err(DataError::Invalid(
            "a stratified split needs a target of classes; the target is a number".into(),
        )),
    }
}
