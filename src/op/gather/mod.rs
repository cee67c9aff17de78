//! Rows of a table by index: an embedding.
//!
//! `y[i, ..] = table[indices[i], ..]` for every position `i` of the indices, which may have any
//! shape; an index out of range gives NaN. Gradient: each row of the table gets the sum of the
//! upstream gradient over its occurrences, in ascending order of position; an index out of range
//! adds nothing.

mod launch;

use serde::{Deserialize, Serialize};

use super::{
    CallTypes, Case, CpuKernel, Family, Gradient, Launches, Live, Op, OpError, Operand,
    ReferenceCall, Split, Target, TaskIo,
};
use crate::cpu::simd;
use crate::tensor::{DType, Dim, Shape, TensorType};

/// Inputs: table `[n, ..]`, indices. Output: the indices' shape, then that of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gather;

/// Inputs: indices, upstream gradient. Output: gradient of the table, overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatherGradient {
    /// Rows of the table.
    pub rows: usize,
}

fn check_indices(indices: &TensorType) -> Result<(), OpError> {
    match indices.dtype {
        DType::U32 => Ok(()),
        _ => Err(OpError(format!("indices must be u32, got {indices}"))),
    }
}

/// Elements of a row of the table.
fn width(table: &TensorType) -> usize {
    table.shape.dims()[1..].iter().map(|d| d.size(1)).product()
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [table, indices] = inputs else {
            return Err(OpError(format!("gather takes table and indices, got {}", inputs.len())));
        };
        check_indices(indices)?;
        if table.dtype != DType::F32 || !matches!(table.shape.dims(), [Dim::Fixed(_), ..]) {
            return Err(OpError(format!(
                "the table must be f32[n, ..] with a known n, got {table}; rows of the batch \
                 cannot be gathered"
            )));
        }
        let mut dims = indices.shape.dims().to_vec();
        dims.extend(&table.shape.dims()[1..]);
        let shape = Shape(dims);
        match shape.checked_elements(1) {
            Some(_) => Ok(vec![TensorType::f32(shape)]),
            None => Err(OpError(format!("{shape} has too many elements"))),
        }
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        if let (Some(upstream), true) = (gradient.upstream(0), gradient.needs(0)) {
            let rows = gradient.ty(gradient.input(0)).shape.dims()[0].size(1);
            let operands = [gradient.input(1), upstream];
            let result = gradient.one(GatherGradient { rows }, &operands)?;
            gradient.set(0, result);
        }
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let (width, rows) = (width(&call.types.inputs[0]), call.input_sizes(0)[0]);
        let mut result = Vec::new();
        for &index in call.inputs[1] {
            for j in 0..width {
                result.push(match index < rows as f64 {
                    true => call.inputs[0][index as usize * width + j],
                    false => f64::NAN,
                });
            }
        }
        vec![result]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        let width = width(&types.inputs[0]);
        Box::new(Forward { indices: types.inputs[1].shape.clone(), width })
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        Some(launch::forward(types, capacity, target))
    }

    fn flops(&self, _types: &CallTypes, _rows: usize) -> u64 {
        0
    }
}

impl Op for GatherGradient {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [indices, upstream] = inputs else {
            return Err(OpError(format!("takes indices and upstream, got {}", inputs.len())));
        };
        check_indices(indices)?;
        let (positions, dims) = (indices.shape.dims(), upstream.shape.dims());
        if upstream.dtype != DType::F32 || !dims.starts_with(positions) {
            return Err(OpError(format!(
                "the upstream gradient must be f32 and begin with the shape of {indices}, got \
                 {upstream}"
            )));
        }
        let mut shape = vec![Dim::Fixed(self.rows)];
        shape.extend(&dims[positions.len()..]);
        let shape = Shape(shape);
        match shape.checked_elements(1) {
            Some(_) => Ok(vec![TensorType::f32(shape)]),
            None => Err(OpError(format!("{shape} has too many elements"))),
        }
    }

    fn backward(&self, _gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        Err(OpError("second derivatives are not supported".into()))
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let width = width(&call.types.outputs[0]);
        let mut result = vec![0.0; self.rows * width];
        for (position, &index) in call.inputs[0].iter().enumerate() {
            for j in 0..width {
                if index < self.rows as f64 {
                    result[index as usize * width + j] += call.inputs[1][position * width + j];
                }
            }
        }
        vec![result]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Backward { rows: self.rows, width: width(&types.outputs[0]) })
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        Some(launch::gradient(types, capacity, target))
    }

    fn label(&self) -> String {
        format!("gather_gradient of {} rows", self.rows)
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        types.inputs[1].shape.elements(rows) as u64
    }
}

/// Elements per task of the forward pass.
const ELEMENTS: usize = 1 << 14;

struct Forward {
    indices: Shape,
    width: usize,
}

impl Forward {
    fn positions_per_task(&self) -> usize {
        (ELEMENTS / self.width.max(1)).max(1)
    }
}

impl CpuKernel for Forward {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        match self.width {
            0 => 0,
            _ => self.indices.elements(live.rows).div_ceil(self.positions_per_task()),
        }
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(self.positions_per_task() * self.width)
    }

    fn run(&self, _phase: usize, task: usize, _live: &Live, io: &mut TaskIo<'_>) {
        let (table, width) = (io.input(0), self.width);
        let indices = &io.input_u32(1)[task * self.positions_per_task()..];
        for (row, &index) in io.output(0).chunks_mut(width).zip(indices) {
            // A product beyond the address space is out of range too.
            let found = (index as usize).checked_mul(width).and_then(|at| table.get(at..));
            match found.and_then(|rest| rest.get(..width)) {
                Some(found) => row.copy_from_slice(found),
                None => row.fill(f32::NAN),
            }
        }
    }
}

/// Elements of the table's gradient that are worth a task.
const LEAST: usize = 1 << 12;
/// Tasks at most: each reads all indices.
const TASKS: usize = 32;

/// Each task owns a range of the table's rows and walks all positions in order: no two tasks add to
/// one element, and the order of additions is that of the positions. Reading the indices costs
/// `TASKS` passes at most, small against the additions unless rows are narrow.
struct Backward {
    rows: usize,
    width: usize,
}

impl Backward {
    fn rows_per_task(&self) -> usize {
        self.rows.div_ceil(TASKS).max(LEAST / self.width.max(1)).max(1)
    }
}

impl CpuKernel for Backward {
    fn tasks(&self, _phase: usize, _live: &Live) -> usize {
        if self.width == 0 { 0 } else { self.rows.div_ceil(self.rows_per_task()) }
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(self.rows_per_task() * self.width)
    }

    fn run(&self, _phase: usize, task: usize, _live: &Live, io: &mut TaskIo<'_>) {
        simd::dispatch(Scatter {
            first: task * self.rows_per_task(),
            width: self.width,
            indices: io.input_u32(0),
            upstream: io.input(1),
            target: io.output(0),
        });
    }
}

/// Adds the upstream rows of the indices from `first` on to the rows of `target`.
struct Scatter<'a> {
    first: usize,
    width: usize,
    indices: &'a [u32],
    upstream: &'a [f32],
    target: &'a mut [f32],
}

impl simd::Vectorised for Scatter<'_> {
    #[inline(always)]
    fn run(self) {
        let Scatter { first, width, indices, upstream, target } = self;
        let rows = target.len() / width;
        target.fill(0.0);
        for (&index, upstream) in indices.iter().zip(upstream.chunks_exact(width)) {
            let row = (index as usize).wrapping_sub(first);
            if row < rows {
                for (sum, x) in target[row * width..][..width].iter_mut().zip(upstream) {
                    *sum += x;
                }
            }
        }
    }
}

/// Table, indices, rows of the batch.
fn examples() -> Vec<(Vec<usize>, Shape, usize)> {
    vec![
        (vec![7, 3], Shape::rows(&[]), 5),
        (vec![11, 4], Shape::rows(&[17]), 13),
        (vec![1, 1], Shape::rows(&[2]), 3),
        (vec![5], Shape::rows(&[]), 9),
        (vec![3, 2, 5], Shape::fixed(&[2, 2]), 1),
        (vec![1031, 67], Shape::rows(&[31]), 17),
        (vec![5, 132], Shape::rows(&[]), 9),
        (vec![3, 5], Shape::rows(&[61]), 41),
    ]
}

impl Family for Gather {
    const NAME: &'static str = "gather";

    fn cases() -> Vec<Case> {
        let case = |(table, indices, rows): (Vec<usize>, _, _)| {
            let inputs =
                vec![TensorType::f32(Shape::fixed(&table)), TensorType::new(DType::U32, indices)];
            Case::new(Gather, inputs, rows).integers(1, table[0] as u32)
        };
        examples().into_iter().map(case).collect()
    }
}

impl Family for GatherGradient {
    const NAME: &'static str = "gather_gradient";

    fn cases() -> Vec<Case> {
        let case = |(table, indices, rows): (Vec<usize>, Shape, _)| {
            let mut dims = indices.dims().to_vec();
            dims.extend(table[1..].iter().map(|&n| Dim::Fixed(n)));
            let inputs = vec![TensorType::new(DType::U32, indices), TensorType::f32(Shape(dims))];
            let op = GatherGradient { rows: table[0] };
            // Two indices are out of range.
            Case::new(op, inputs, rows).integers(0, table[0] as u32 + 2).gradients(&[], &[])
        };
        examples().into_iter().map(case).collect()
    }
}
