//! A range along one axis, and its reverse: zeros around the input along one axis.
//!
//! `slice`: `y[.., i, ..] = x[.., start + i, ..]` for `i` in `0..end − start`; the gradient is `pad`.
//! `pad`: `y[.., before + i, ..] = x[.., i, ..]`, zeros elsewhere; the gradient is `slice`.
//! The axis may not be the one of the rows.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::bands::{Bands, Source, check_axis, resized, stride};
use super::{
    CallTypes, Case, CpuKernel, Family, Gradient, Launches, Op, OpError, ReferenceCall, Target,
};
use crate::tensor::{Shape, TensorType};

/// Takes a range along an axis.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// Which axis; not that of the rows.
    pub axis: usize,
    /// First and past-the-last index; not empty.
    pub range: Range<usize>,
}

/// Puts zeros before and after, along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pad {
    /// Which axis; not that of the rows.
    pub axis: usize,
    /// Zeros before the input.
    pub before: usize,
    /// Zeros after the input.
    pub after: usize,
}

impl Slice {
    fn bands(&self, types: &CallTypes) -> Bands {
        let (input, stride) = (&types.inputs[0].shape, stride(&types.inputs[0].shape, self.axis));
        let width = input.dims()[self.axis].size(1) * stride;
        let source = Source::Input { input: 0, width, first: self.range.start * stride };
        let bands = vec![(self.range.len() * stride, source)];
        Bands { output: types.outputs[0].clone(), bands }
    }
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [input] = inputs else {
            return Err(OpError(format!("slice takes one input, got {}", inputs.len())));
        };
        let size = check_axis(Self::NAME, input, self.axis)?;
        let Range { start, end } = self.range;
        if start >= end || end > size {
            let axis = self.axis;
            return Err(OpError(format!(
                "slice {start}..{end} of axis {axis} of {input}: give a range inside 0..{size}, \
                 not an empty one"
            )));
        }
        let shape = resized(&input.shape, self.axis, end - start);
        Ok(vec![TensorType::new(input.dtype, shape)])
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        if let (Some(upstream), true) = (gradient.upstream(0), gradient.needs(0)) {
            let shape = &gradient.ty(gradient.input(0)).shape;
            let after = shape.dims()[self.axis].size(1) - self.range.end;
            let op = Pad { axis: self.axis, before: self.range.start, after };
            let result = gradient.one(op, &[upstream])?;
            gradient.set(0, result);
        }
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let sizes = call.input_sizes(0);
        let (size, inner) = (sizes[self.axis], sizes[self.axis + 1..].iter().product::<usize>());
        let outer: usize = sizes[..self.axis].iter().product();
        let mut result = Vec::new();
        for o in 0..outer {
            for i in self.range.clone() {
                for j in 0..inner {
                    result.push(call.inputs[0][(o * size + i) * inner + j]);
                }
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
        format!("slice axis {} {:?}", self.axis, self.range)
    }

    fn flops(&self, _types: &CallTypes, _rows: usize) -> u64 {
        0
    }
}

impl Pad {
    fn bands(&self, types: &CallTypes) -> Bands {
        let (input, stride) = (&types.inputs[0].shape, stride(&types.inputs[0].shape, self.axis));
        let width = input.dims()[self.axis].size(1) * stride;
        let bands = vec![
            (self.before * stride, Source::Zeros),
            (width, Source::Input { input: 0, width, first: 0 }),
            (self.after * stride, Source::Zeros),
        ];
        Bands { output: types.outputs[0].clone(), bands }
    }
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [input] = inputs else {
            return Err(OpError(format!("pad takes one input, got {}", inputs.len())));
        };
        let size = check_axis(Self::NAME, input, self.axis)?;
        let padded = size.checked_add(self.before).and_then(|n| n.checked_add(self.after));
        let shape = padded.map(|n| resized(&input.shape, self.axis, n));
        match shape.filter(|s| s.checked_elements(1).is_some()) {
            Some(shape) => Ok(vec![TensorType::new(input.dtype, shape)]),
            None => Err(OpError(format!(
                "{input} with {} and {} zeros around has too many elements",
                self.before, self.after
            ))),
        }
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        if let (Some(upstream), true) = (gradient.upstream(0), gradient.needs(0)) {
            let size = gradient.ty(gradient.input(0)).shape.dims()[self.axis].size(1);
            let op = Slice { axis: self.axis, range: self.before..self.before + size };
            let result = gradient.one(op, &[upstream])?;
            gradient.set(0, result);
        }
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let sizes = call.output_sizes(0);
        let (padded, inner) = (sizes[self.axis], sizes[self.axis + 1..].iter().product::<usize>());
        let outer: usize = sizes[..self.axis].iter().product();
        let size = padded - self.before - self.after;
        let mut result = vec![0.0; outer * padded * inner];
        for o in 0..outer {
            for i in 0..size {
                for j in 0..inner {
                    result[(o * padded + self.before + i) * inner + j] =
                        call.inputs[0][(o * size + i) * inner + j];
                }
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
        format!("pad axis {} {} before {} after", self.axis, self.before, self.after)
    }

    fn flops(&self, _types: &CallTypes, _rows: usize) -> u64 {
        0
    }
}

impl Family for Slice {
    const NAME: &'static str = "slice";

    fn cases() -> Vec<Case> {
        let case = |axis, range, shape, rows| {
            Case::new(Slice { axis, range }, vec![TensorType::f32(shape)], rows)
        };
        vec![
            case(1, 2..5, Shape::rows(&[7]), 3),
            case(1, 0..7, Shape::rows(&[7, 3]), 2),
            case(2, 6..7, Shape::rows(&[3, 7]), 5),
            case(1, 1..5, Shape::rows(&[5, 1031]), 17),
            case(0, 1..4, Shape::fixed(&[5, 2]), 1),
            case(1, 4..12, Shape::rows(&[16]), 3),
        ]
    }
}

impl Family for Pad {
    const NAME: &'static str = "pad";

    fn cases() -> Vec<Case> {
        let case = |axis, (before, after), shape, rows| {
            Case::new(Pad { axis, before, after }, vec![TensorType::f32(shape)], rows)
        };
        vec![
            case(1, (2, 3), Shape::rows(&[5]), 3),
            case(1, (0, 1), Shape::rows(&[2, 3]), 2),
            case(2, (4, 0), Shape::rows(&[3, 1]), 5),
            case(1, (1, 2), Shape::rows(&[3, 1031]), 17),
            case(0, (0, 0), Shape::fixed(&[5]), 1),
            case(1, (4, 8), Shape::rows(&[4]), 3),
        ]
    }
}
