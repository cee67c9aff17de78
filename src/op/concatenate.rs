//! Inputs one after the other along one axis, which may not be that of the rows.
//!
//! `y[.., s_k + i, ..] = x_k[.., i, ..]` with `s_k` the sizes of the inputs before. The gradient of
//! an input is its slice of the upstream gradient.

use serde::{Deserialize, Serialize};

use super::bands::{Bands, Source, check_axis, resized, stride};
use super::slice::Slice;
use super::{
    CallTypes, Case, CpuKernel, Family, Gradient, Launches, Op, OpError, ReferenceCall, Target,
};
use crate::tensor::{Shape, TensorType};

/// Joins one or more inputs along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concatenate {
    /// Which axis; not that of the rows.
    pub axis: usize,
}

impl Concatenate {
    fn bands(&self, types: &CallTypes) -> Bands {
        let bands = types
            .inputs
            .iter()
            .enumerate()
            .map(|(input, ty)| {
                let width = ty.shape.dims()[self.axis].size(1) * stride(&ty.shape, self.axis);
                (width, Source::Input { input, width, first: 0 })
            })
            .collect();
        Bands { output: types.outputs[0].clone(), bands }
    }
}

impl Op for Concatenate {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let Some(first) = inputs.first() else {
            return Err(OpError("concatenate takes at least one input, got 0".into()));
        };
        let mut total = 0usize;
        for input in inputs {
            let size = check_axis(Self::NAME, input, self.axis)?;
            if input.dtype != first.dtype || resized(&first.shape, self.axis, size) != input.shape {
                return Err(OpError(format!(
                    "cannot concatenate {first} and {input} along axis {}: all other axes and the \
                     element type must be the same",
                    self.axis
                )));
            }
            total = total.saturating_add(size);
        }
        let shape = resized(&first.shape, self.axis, total);
        match shape.checked_elements(1) {
            Some(_) => Ok(vec![TensorType::new(first.dtype, shape)]),
            None => Err(OpError(format!("{shape} has too many elements"))),
        }
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        let Some(upstream) = gradient.upstream(0) else { return Ok(()) };
        let mut start = 0;
        for i in 0..gradient.inputs().len() {
            let size = gradient.ty(gradient.input(i)).shape.dims()[self.axis].size(1);
            if gradient.needs(i) {
                let op = Slice { axis: self.axis, range: start..start + size };
                let result = gradient.one(op, &[upstream])?;
                gradient.set(i, result);
            }
            start += size;
        }
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let outer: usize = call.output_sizes(0)[..self.axis].iter().product();
        let mut result = Vec::new();
        for o in 0..outer {
            for x in &call.inputs {
                let run = x.len() / outer;
                result.extend(&x[o * run..(o + 1) * run]);
            }
        }
        vec![result]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(self.bands(types))
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        Some(self.bands(types).launches(capacity, target))
    }

    fn label(&self) -> String {
        format!("concatenate axis {}", self.axis)
    }

    fn flops(&self, _types: &CallTypes, _rows: usize) -> u64 {
        0
    }
}

impl Family for Concatenate {
    const NAME: &'static str = "concatenate";

    fn cases() -> Vec<Case> {
        let case = |axis, shapes: &[Shape], rows| {
            Case::new(
                Concatenate { axis },
                shapes.iter().cloned().map(TensorType::f32).collect(),
                rows,
            )
        };
        vec![
            case(1, &[Shape::rows(&[3]), Shape::rows(&[1]), Shape::rows(&[5])], 3),
            case(1, &[Shape::rows(&[2, 7]), Shape::rows(&[1, 7])], 2),
            case(2, &[Shape::rows(&[2, 1]), Shape::rows(&[2, 3])], 5),
            case(1, &[Shape::rows(&[1, 1031]), Shape::rows(&[3, 1031])], 17),
            case(0, &[Shape::fixed(&[2]), Shape::fixed(&[3])], 1),
            case(1, &[Shape::rows(&[4])], 1),
            case(1, &[Shape::rows(&[8]), Shape::rows(&[4])], 3),
            case(1, &vec![Shape::rows(&[1]); 17], 2),
        ]
    }
}
