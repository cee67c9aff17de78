//! Raw target cells into labels or numbers.

use std::collections::HashMap;

use super::super::column::{Column, Values};
use super::super::table::{Table, TableColumn};
use super::super::text::{quoted, shortened};
use super::inputs::{number, single};
use super::{NumberTarget, TargetTransform};
use crate::error::DataError;

impl TargetTransform {
    /// The names of the target columns.
    pub fn columns(&self) -> Vec<&String> {
        match self {
            TargetTransform::Classes { column, .. } => vec![column],
            TargetTransform::Numbers(targets) => targets.iter().map(|t| &t.column).collect(),
        }
    }

    /// The names of the classes, in order of the labels; empty if the target is numbers.
    pub(super) fn class_names(&self) -> &[String] {
        match self {
            TargetTransform::Classes { classes, .. } => classes,
            TargetTransform::Numbers(_) => &[],
        }
    }

    /// The class labels of a table's rows.
    pub(in super::super) fn labels(&self, table: &Table) -> Result<Vec<u32>, DataError> {
        match self {
            TargetTransform::Classes { column, classes } => labels(table, column, classes),
            TargetTransform::Numbers(_) => Err(DataError::Invalid(
                "a stratified split needs a target of classes; the target is a number".into(),
            )),
        }
    }

    /// The target column of a table's rows.
    pub(in super::super) fn apply(&self, table: &Table) -> Result<Column, DataError> {
        match self {
            TargetTransform::Classes { column, classes } => {
                Ok(Column::labels(column, labels(table, column, classes)?, classes.clone()))
            }
            TargetTransform::Numbers(targets) => numbers(table, targets),
        }
    }
}

impl NumberTarget {
    /// The numbers of a table's rows, not scaled.
    pub(super) fn raw(&self, table: &Table) -> Result<Vec<f64>, DataError> {
        let name = &self.column;
        let column = table.column(name).ok_or_else(|| table.no_column(name))?;
        let one = |row| number(table, column, row)?.ok_or_else(|| missing(table, row, name));
        (0..table.len()).map(one).collect()
    }
}

fn labels(table: &Table, name: &str, classes: &[String]) -> Result<Vec<u32>, DataError> {
    let column = table.column(name).ok_or_else(|| table.no_column(name))?;
    let labels: HashMap<&str, u32> =
        classes.iter().zip(0u32..).map(|(class, label)| (class.as_str(), label)).collect();
    let label = |row| {
        let class = class_of(column, row).ok_or_else(|| missing(table, row, name))?;
        labels.get(class.as_str()).copied().ok_or_else(|| {
            let known = quoted(classes.iter().map(String::as_str));
            let class = shortened(&class);
            let message = format!("class `{class}` is not known; the classes are {known}");
            table.cell_fault(row, name, &message)
        })
    };
    (0..table.len()).map(label).collect()
}

/// The class that a cell names, `None` if it is missing.
pub(super) fn class_of(column: &TableColumn, row: usize) -> Option<String> {
    // Adding 0 turns -0 into 0, which is the same class.
    let number = column.number(row).map(|number| (number + 0.0).to_string());
    number.or_else(|| column.word(row).map(String::from))
}

fn numbers(table: &Table, targets: &[NumberTarget]) -> Result<Column, DataError> {
    let mut values = vec![0.0; table.len() * targets.len()];
    for (place, target) in targets.iter().enumerate() {
        let rows = values.iter_mut().skip(place).step_by(targets.len());
        for (row, (value, number)) in rows.zip(target.raw(table)?).enumerate() {
            *value = single(table, &target.column, row, target.scaling.apply(number))?;
        }
    }
    let names: Vec<&str> = targets.iter().map(|target| target.column.as_str()).collect();
    let row_shape = if targets.len() == 1 { Vec::new() } else { vec![targets.len()] };
    Ok(Column::new(names.join(","), row_shape, Values::F32(values), Vec::new()))
}

fn missing(table: &Table, row: usize, column: &str) -> DataError {
    table.cell_fault(row, column, "the target is missing; say `drop_missing()` to leave it out")
}
