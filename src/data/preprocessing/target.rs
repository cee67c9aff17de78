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

    /// The target column of a table's rows.
    pub(in super::super) fn apply(&self, table: &Table) -> Result<Column, DataError> {
        match self {
            TargetTransform::Classes { column, classes } => classify(table, column, classes),
            TargetTransform::Numbers(targets) => numbers(table, targets),
        }
    }
}

fn classify(table: &Table, name: &str, classes: &[String]) -> Result<Column, DataError> {
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
    let values: Result<Vec<u32>, DataError> = (0..table.len()).map(label).collect();
    Ok(Column::labels(name, values?, classes.to_vec()))
}

/// The class that a cell names, `None` if it is missing.
pub(super) fn class_of(column: &TableColumn, row: usize) -> Option<String> {
    // Adding 0 turns -0 into 0, which is the same class.
    let number = column.number(row).map(|number| (number + 0.0).to_string());
    number.or_else(|| column.word(row).map(String::from))
}

fn numbers(table: &Table, targets: &[NumberTarget]) -> Result<Column, DataError> {
    let mut columns = Vec::with_capacity(targets.len());
    for target in targets {
        let name = &target.column;
        columns.push((table.column(name).ok_or_else(|| table.no_column(name))?, target.scaling));
    }
    let mut values = Vec::with_capacity(table.len() * targets.len());
    for row in 0..table.len() {
        for (column, scaling) in &columns {
            let number = number(table, column, row)?;
            let number = number.ok_or_else(|| missing(table, row, column.name()))?;
            values.push(single(table, column, row, scaling.apply(number))?);
        }
    }
    let names: Vec<&str> = columns.iter().map(|(column, _)| column.name()).collect();
    let row_shape = if targets.len() == 1 { Vec::new() } else { vec![targets.len()] };
    Ok(Column::new(names.join(","), row_shape, Values::F32(values), Vec::new()))
}

fn missing(table: &Table, row: usize, column: &str) -> DataError {
    table.cell_fault(row, column, "the target is missing; say `drop_missing()` to leave it out")
}
