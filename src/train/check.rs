//! Whether data fits a model, found out before the first batch.

use super::session::{LoadedPlan, Session, Source};
use crate::data::{ColumnId, Dataset};
use crate::error::DataError;
use crate::op::{BufferId, Graph};
use crate::tensor::DType;

impl Session {
    /// Checks that a dataset fits a plan, so that no batch can fail.
    pub(super) fn check(&self, plan: &LoadedPlan, data: &Dataset) -> Result<(), DataError> {
        not_empty(data)?;
        self.check_labels(data)?;
        for (name, buffer) in &plan.plan.feeds {
            let Source::Column(id) = self.source(name, data)? else { continue };
            let column = match id {
                ColumnId::Input(i) => &data.inputs()[i],
                ColumnId::Target(i) => &data.targets()[i],
            };
            let ty = plan.plan.graph.ty(*buffer);
            let wanted = ty.shape.elements(1);
            if column.row_elements() != wanted {
                let own = column.row_elements();
                let fix = match id {
                    ColumnId::Input(_) => format!("a model of such rows has {own} inputs"),
                    ColumnId::Target(_) => {
                        "give its last layer as many outputs, flattening before \
                        it what has more dimensions"
                            .to_string()
                    }
                };
                return Err(DataError::Invalid(format!(
                    "column `{}` has {own} elements per row, the model's `{name}` {ty} wants \
                     {wanted}; {fix}",
                    column.name,
                )));
            }
            if ty.dtype == DType::U32 && column.dtype() != DType::U32 {
                return Err(DataError::Invalid(format!(
                    "column `{}` holds numbers, the model's `{name}` wants class labels or indices",
                    column.name
                )));
            }
            if ty.dtype == DType::U32 {
                check_indices(&plan.plan.graph, *buffer, data, id)?;
            }
        }
        Ok(())
    }

    fn check_labels(&self, data: &Dataset) -> Result<(), DataError> {
        let outputs = match self.network.outputs() {
            [(_, id)] => self.network.ty(*id).shape.last(),
            _ => return Ok(()),
        };
        match outputs {
            Some(outputs) if data.classes() > outputs && outputs > 1 => {
                Err(DataError::Invalid(format!(
                    "the data has {} classes, the model has {outputs} outputs; widen its last layer",
                    data.classes()
                )))
            }
            _ => Ok(()),
        }
    }
}

/// Indices must be below the number of rows of every table that they are looked up in, and labels
/// below the number of classes.
fn check_indices(
    graph: &Graph,
    feed: BufferId,
    data: &Dataset,
    id: ColumnId,
) -> Result<(), DataError> {
    for step in &graph.steps {
        if step.inputs.get(1).is_none_or(|&indices| graph.root(indices).0 != feed) {
            continue;
        }
        let first = &graph.ty(step.inputs[0]).shape;
        let (what, limit) = match step.op.name() {
            "gather" => ("rows", first.dims()[0].size(1)),
            "softmax_cross_entropy" => ("classes", first.last().unwrap_or(1)),
            _ => continue,
        };
        let column = match id {
            ColumnId::Input(i) => &data.inputs()[i],
            ColumnId::Target(i) => &data.targets()[i],
        };
        if column.values.all_indices_below(limit) {
            continue;
        }
        let mut indices = vec![0; column.row_elements()];
        for row in 0..data.len() {
            data.gather_u32(id, &[row], &mut indices)?;
            if let Some(index) = indices.iter().find(|&&index| index as usize >= limit) {
                return Err(DataError::Invalid(format!(
                    "column `{}`, row {row}: {index} is out of range, `{}` has {limit} {what}, from \
                     0; give it more or number anew",
                    column.name, step.layer
                )));
            }
        }
    }
    Ok(())
}

/// Refuses data without rows.
pub(super) fn not_empty(data: &Dataset) -> Result<(), DataError> {
    match data.is_empty() {
        true => Err(DataError::Invalid("the data has no rows".into())),
        false => Ok(()),
    }
}
