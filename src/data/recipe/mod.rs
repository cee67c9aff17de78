//! What is to be done to a table's columns, before it is fitted.

mod column;
mod combine;
mod parts;

pub use column::{ColumnRecipe, Distribution, Encoding, Impute, Scale};
pub(super) use combine::Combine;
pub use parts::{RecipeFolds, SplitBy};

use super::dataset::Task;
use super::preprocessing::TargetTransform;
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
    group: Option<String>,
    defaults: ColumnRecipe,
    exceptions: Vec<(String, ColumnRecipe)>,
    /// What is made of several columns, in this order.
    pub(super) combinations: Vec<(Vec<String>, Combine)>,
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
            group: None,
            defaults: ColumnRecipe::default(),
            exceptions: Vec::new(),
            combinations: Vec::new(),
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

    /// Rows that share a value of this column, such as those of one patient, stay together in
    /// [`Recipe::split_grouped`], [`Recipe::k_fold_grouped`] and the like of the datasets that come
    /// of them. The column is no input.
    pub fn group_by(self, column: &str) -> Self {
        Recipe { group: Some(column.into()), ..self.ignore(&[column]) }
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
        self.check_combinations()?;
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
        let groups = self.group.as_deref() == Some(column.name());
        groups || !(imputed || ignored)
    }
}
