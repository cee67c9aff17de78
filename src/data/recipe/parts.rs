//! A recipe fitted on all rows, or on the training rows of a split or fold.

use super::super::dataset::Dataset;
use super::super::grouping::{
    fold_rows_grouped, fold_rows_stratified_grouped, split_rows_grouped,
    split_rows_stratified_grouped,
};
use super::super::preprocessing::TargetTransform;
use super::super::split::{
    Parts, fold_rows, fold_rows_stratified, split_in_order, split_rows, split_rows_stratified,
};
use super::super::table::{Kind, Table, TableColumn};
use super::Recipe;
use crate::error::DataError;

/// How rows are divided by [`Recipe::split_three`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SplitBy<'a> {
    /// At random, as [`Recipe::split`] does.
    Chance,
    /// Each class alike, as [`Recipe::split_stratified`] does.
    Classes,
    /// Groups as a whole, as [`Recipe::split_grouped`] does.
    Groups,
    /// Both, as [`Recipe::split_stratified_grouped`] does.
    GroupsAndClasses,
    /// By this column, as [`Recipe::split_by_time`] does.
    Time(&'a str),
}

/// The rows that a recipe is about, before they are split.
struct Rows {
    table: Table,
    target: TargetTransform,
    groups: Option<Vec<u32>>,
}

impl Recipe {
    /// The dataset of all rows, fitted on all rows.
    ///
    /// # Errors
    /// If a named column does not exist, a setting does not fit a column, or a cell is missing
    /// where nothing was said about missing cells (the line and column are named).
    pub fn build(&self) -> Result<Dataset, DataError> {
        let all = self.all()?;
        let mut data = self.fit(&all.table, &all.target)?.0;
        data.groups = all.groups.map(Into::into);
        Ok(data)
    }

    /// Splits the rows as [`Dataset::split`] does, and fits on the first part.
    ///
    /// # Errors
    /// As [`Recipe::build`] and [`Dataset::split`].
    pub fn split(&self, fraction: f64, seed: u64) -> Result<(Dataset, Dataset), DataError> {
        self.split_two(SplitBy::Chance, fraction, seed)
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
        self.split_two(SplitBy::Classes, fraction, seed)
    }

    /// Splits the rows as [`Dataset::split_grouped`] does, by the column of [`Recipe::group_by`],
    /// and fits on the first part.
    ///
    /// # Errors
    /// As [`Recipe::build`] and [`Dataset::split_grouped`], and if a cell of that column is
    /// missing.
    pub fn split_grouped(&self, fraction: f64, seed: u64) -> Result<(Dataset, Dataset), DataError> {
        self.split_two(SplitBy::Groups, fraction, seed)
    }

    /// Splits the rows as [`Dataset::split_stratified_grouped`] does, by the column of
    /// [`Recipe::group_by`], and fits on the first part.
    ///
    /// # Errors
    /// As [`Recipe::split_grouped`] and [`Dataset::split_stratified_grouped`].
    pub fn split_stratified_grouped(
        &self,
        fraction: f64,
        seed: u64,
    ) -> Result<(Dataset, Dataset), DataError> {
        self.split_two(SplitBy::GroupsAndClasses, fraction, seed)
    }

    /// Splits the rows by time: sorted by a column, then as [`Dataset::split_in_order`] does; fits
    /// on the first part. Both parts stay sorted. Rows of equal times keep the table's order. Words
    /// are sorted as texts. The column is an input too unless it is ignored.
    ///
    /// # Errors
    /// As [`Recipe::build`] and [`Dataset::split_in_order`], and if there is no such column or a
    /// cell of it is missing.
    pub fn split_by_time(
        &self,
        column: &str,
        fraction: f64,
    ) -> Result<(Dataset, Dataset), DataError> {
        self.split_two(SplitBy::Time(column), fraction, 0)
    }

    /// Rows for training, to tell when to stop, and for a test: `test` of all rows are kept for the
    /// last, `validation` of the others for the second, by the same seed. All three are fitted on the
    /// training rows alone.
    ///
    /// # Errors
    /// As the method that `by` names, for both splits.
    pub fn split_three(
        &self,
        by: SplitBy<'_>,
        validation: f64,
        test: f64,
        seed: u64,
    ) -> Result<[Dataset; 3], DataError> {
        let all = self.all()?;
        let outer = all.split(by, 1.0 - test, seed)?;
        let rest = all.subset(&outer.0);
        let inner = rest.split(by, 1.0 - validation, seed)?;
        let (train, fitted) = self.fit(&rest.table.subset(&inner.0), &rest.target)?;
        let validation = fitted.apply(&rest.table.subset(&inner.1))?;
        let test = fitted.apply(&all.table.subset(&outer.1))?;
        Ok([
            rest.grouped(train, &inner.0),
            rest.grouped(validation, &inner.1),
            all.grouped(test, &outer.1),
        ])
    }

    fn split_two(
        &self,
        by: SplitBy<'_>,
        fraction: f64,
        seed: u64,
    ) -> Result<(Dataset, Dataset), DataError> {
        let all = self.all()?;
        self.part(&all, &all.split(by, fraction, seed)?)
    }

    /// Splits the rows as [`Dataset::k_fold`] does, and fits on each fold's training rows.
    ///
    /// # Errors
    /// As [`Recipe::build`] and [`Dataset::k_fold`].
    pub fn k_fold(&self, k: usize, seed: u64) -> Result<RecipeFolds, DataError> {
        self.folds(|all| fold_rows(all.table.len(), k, seed))
    }

    /// Splits the rows as [`Dataset::k_fold_stratified`] does, and fits on each fold's training
    /// rows.
    ///
    /// # Errors
    /// As [`Recipe::build`] and [`Dataset::k_fold_stratified`].
    pub fn k_fold_stratified(&self, k: usize, seed: u64) -> Result<RecipeFolds, DataError> {
        self.folds(|all| fold_rows_stratified(&all.labels()?, k, seed))
    }

    /// Splits the rows as [`Dataset::k_fold_grouped`] does, by the column of
    /// [`Recipe::group_by`], and fits on each fold's training rows.
    ///
    /// # Errors
    /// As [`Recipe::split_grouped`] and [`Dataset::k_fold_grouped`].
    pub fn k_fold_grouped(&self, k: usize, seed: u64) -> Result<RecipeFolds, DataError> {
        self.folds(|all| fold_rows_grouped(all.groups.as_deref(), k, seed))
    }

    /// Splits the rows as [`Dataset::k_fold_stratified_grouped`] does, by the column of
    /// [`Recipe::group_by`], and fits on each fold's training rows.
    ///
    /// # Errors
    /// As [`Recipe::split_grouped`] and [`Dataset::k_fold_stratified_grouped`].
    pub fn k_fold_stratified_grouped(&self, k: usize, seed: u64) -> Result<RecipeFolds, DataError> {
        self.folds(|all| {
            fold_rows_stratified_grouped(&all.labels()?, all.groups.as_deref(), k, seed)
        })
    }

    /// The number of each row's group, if rows are grouped.
    pub(in super::super) fn groups(&self, table: &Table) -> Result<Option<Vec<u32>>, DataError> {
        let groups = self.group.as_ref();
        groups.map(|name| Ok(complete(table, name)?.value_numbers().0)).transpose()
    }

    fn all(&self) -> Result<Rows, DataError> {
        let table = self.rows()?;
        let target = self.target_transform(&table)?;
        let groups = self.groups(&table)?;
        Ok(Rows { table, target, groups })
    }

    fn folds(
        &self,
        parts: impl FnOnce(&Rows) -> Result<Vec<Parts>, DataError>,
    ) -> Result<RecipeFolds, DataError> {
        let all = self.all()?;
        let parts = parts(&all)?.into_iter();
        Ok(RecipeFolds { recipe: self.clone(), all, parts })
    }

    /// Both parts, fitted on the first.
    fn part(&self, all: &Rows, parts: &Parts) -> Result<(Dataset, Dataset), DataError> {
        let (first, fitted) = self.fit(&all.table.subset(&parts.0), &all.target)?;
        let second = fitted.apply(&all.table.subset(&parts.1))?;
        Ok((all.grouped(first, &parts.0), all.grouped(second, &parts.1)))
    }
}

/// Training and validation rows of each fold in turn, fitted on the former when they are asked for;
/// by [`Recipe::k_fold`] and the like.
pub struct RecipeFolds {
    recipe: Recipe,
    all: Rows,
    parts: std::vec::IntoIter<Parts>,
}

impl Iterator for RecipeFolds {
    type Item = Result<(Dataset, Dataset), DataError>;

    fn next(&mut self) -> Option<Result<(Dataset, Dataset), DataError>> {
        let parts = self.parts.next()?;
        Some(self.recipe.part(&self.all, &parts))
    }
}

impl Rows {
    /// A share of the rows, and the others.
    fn split(&self, by: SplitBy<'_>, fraction: f64, seed: u64) -> Result<Parts, DataError> {
        let groups = self.groups.as_deref();
        match by {
            SplitBy::Chance => split_rows(self.table.len(), fraction, seed),
            SplitBy::Classes => split_rows_stratified(&self.labels()?, fraction, seed),
            SplitBy::Groups => split_rows_grouped(groups, fraction, seed),
            SplitBy::GroupsAndClasses => {
                split_rows_stratified_grouped(&self.labels()?, groups, fraction, seed)
            }
            SplitBy::Time(column) => {
                split_in_order(rows_by_time(complete(&self.table, column)?), fraction)
            }
        }
    }

    /// Some of the rows; the classes stay those of all.
    fn subset(&self, rows: &[usize]) -> Rows {
        let groups = self.groups.as_ref();
        Rows {
            table: self.table.subset(rows),
            target: self.target.clone(),
            groups: groups.map(|groups| rows.iter().map(|&row| groups[row]).collect()),
        }
    }

    /// The class labels.
    fn labels(&self) -> Result<Vec<u32>, DataError> {
        self.target.labels(&self.table)
    }

    /// The dataset of some rows, with their groups.
    fn grouped(&self, mut data: Dataset, rows: &[usize]) -> Dataset {
        let groups = self.groups.as_ref();
        data.groups = groups.map(|groups| rows.iter().map(|&row| groups[row]).collect());
        data
    }
}

/// A column that says of every row where it belongs.
fn complete<'a>(table: &'a Table, name: &str) -> Result<&'a TableColumn, DataError> {
    let column = table.column(name).ok_or_else(|| table.no_column(name))?;
    match (0..table.len()).find(|&row| column.is_missing(row)) {
        None => Ok(column),
        Some(row) => {
            let message = "the cell is missing, and a split by this column needs every one; say \
                           `drop_missing()` to leave the row out";
            Err(table.cell_fault(row, name, message))
        }
    }
}

/// The rows by a column's value, equal ones in the table's order.
fn rows_by_time(column: &TableColumn) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..column.len()).collect();
    match column.kind() {
        Kind::Number | Kind::Date => rows.sort_by(|&a, &b| {
            column.number(a).partial_cmp(&column.number(b)).unwrap_or(std::cmp::Ordering::Equal)
        }),
        Kind::Category => rows.sort_by_key(|&row| column.word(row)),
    }
    rows
}
