//! The same elements under another shape. In a plan it is the same buffer.

use serde::{Deserialize, Serialize};

use super::bands::{Bands, Source};
use super::{
    CallTypes, Case, CpuKernel, Family, Gradient, Launches, Live, Op, OpError, Operand,
    ReferenceCall, Split, Target, TaskIo,
};
use crate::tensor::{Dim, Shape, TensorType};

/// Gives the input the shape `shape`. The rows of the batch stay first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reshape {
    /// The new shape; as many elements as the old one, for any number of rows.
    pub shape: Shape,
}

/// Whether a shape has rows, and its elements per row.
fn measure(shape: &Shape) -> Option<(bool, usize)> {
    shape.checked_elements(1).map(|n| (shape.has_rows(), n))
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [input] = inputs else {
            return Err(OpError(format!("reshape takes one input, got {}", inputs.len())));
        };
        if self.shape.dims().iter().skip(1).any(|d| matches!(d, Dim::Rows(_))) {
            return Err(OpError(format!("{}: the rows of the batch must stay first", self.shape)));
        }
        let (from, to) = (measure(&input.shape), measure(&self.shape));
        if from.is_none() || from != to {
            return Err(OpError(format!(
                "cannot reshape {} to {}: the number of elements differs",
                input.shape, self.shape
            )));
        }
        Ok(vec![TensorType::new(input.dtype, self.shape.clone())])
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        if let (Some(upstream), true) = (gradient.upstream(0), gradient.needs(0)) {
            let shape = gradient.ty(gradient.input(0)).shape.clone();
            let result = gradient.one(Reshape { shape }, &[upstream])?;
            gradient.set(0, result);
        }
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        vec![call.inputs[0].to_vec()]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Copy { shape: types.outputs[0].shape.clone() })
    }

    /// Where it can't be a view, a copy.
    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let output = types.outputs[0].clone();
        let width = output.shape.elements(1);
        let bands = vec![(width, Source::Input { input: 0, width, first: 0 })];
        Some(Bands { output, bands }.launches(capacity, target))
    }

    fn is_view(&self) -> bool {
        true
    }

    fn flops(&self, _types: &CallTypes, _rows: usize) -> u64 {
        0
    }
}

/// Elements per task.
const CHUNK: usize = 1 << 16;

struct Copy {
    shape: Shape,
}

impl CpuKernel for Copy {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.shape.elements(live.rows).div_ceil(CHUNK)
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(CHUNK)
    }

    fn run(&self, _phase: usize, task: usize, _live: &Live, io: &mut TaskIo<'_>) {
        let target = io.output(0);
        target.copy_from_slice(&io.input(0)[task * CHUNK..][..target.len()]);
    }
}

impl Family for Reshape {
    const NAME: &'static str = "reshape";

    fn cases() -> Vec<Case> {
        let case = |from: Shape, to: Shape, rows| {
            Case::new(Reshape { shape: to }, vec![TensorType::f32(from)], rows)
        };
        vec![
            case(Shape::rows(&[2, 3]), Shape::rows(&[6]), 5),
            case(Shape::rows(&[4, 3]), Shape(vec![Dim::Rows(4), Dim::Fixed(3)]), 2),
            case(Shape::fixed(&[6]), Shape::fixed(&[1, 2, 3]), 1),
        ]
    }
}
