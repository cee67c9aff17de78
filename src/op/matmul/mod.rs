//! Matrix multiplication: `C = op(A) · op(B)`, batched, in all transpose forms.
//!
//! `A` is `[.., m, k]`, or `[.., k, m]` with `transpose_a`; `B` is `[.., k, n]`, or `[.., n, k]`
//! with `transpose_b`. Leading dimensions must be equal, or `B` has none and serves all matrices.
//!
//! With an epilogue, a scalar program is applied to every element of `C` while it is in the cache:
//! bias and activation in the forward pass, the activation's derivative in the backward pass.
//! `plan/fuse.rs` puts it there. So it does with the sums of the rows of `op(A)`: where `Aᵀ · B` is
//! the gradient of a weight, they are the gradient of the bias.

mod cases;
mod kernel;
mod launch;
mod tile;

pub use tile::{Tile, tiles};

use serde::{Deserialize, Serialize};

use super::expression::Program;
use super::pointwise;
use super::reshape::Reshape;
use super::{
    BufferId, CallTypes, CpuKernel, Family, Gradient, Launches, Op, OpError, ReferenceCall, Target,
};
use crate::tensor::{DType, Dim, Shape, TensorType};

/// Matrix multiplication.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matmul {
    /// Whether `A` is stored with its last two dimensions swapped.
    pub transpose_a: bool,
    /// Whether `B` is stored with its last two dimensions swapped.
    pub transpose_b: bool,
    /// What is computed from every element of the product. Operands: the product, then the step's
    /// inputs after `A` and `B`, broadcast to the product's shape. Its results are the outputs, each
    /// of that shape; without an epilogue the product is the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epilogue: Option<Program>,
    /// Whether the sums of the rows of `op(A)`, `[m]`, are one more output, the last; `A` must be one
    /// matrix then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub row_sums: bool,
}

/// The dimensions of one multiplication.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Dims {
    batch: Vec<Dim>,
    m: Dim,
    n: Dim,
    k: Dim,
}

impl Matmul {
    /// The product with or without transposes, and no epilogue.
    pub fn new(transpose_a: bool, transpose_b: bool) -> Self {
        Matmul { transpose_a, transpose_b, epilogue: None, row_sums: false }
    }

    /// `A · B`.
    pub fn nn() -> Self {
        Self::new(false, false)
    }

    /// `A · Bᵀ`: a dense layer, whose weight is `[out, in]`.
    pub fn nt() -> Self {
        Self::new(false, true)
    }

    /// `Aᵀ · B`: the gradient of a weight.
    pub fn tn() -> Self {
        Self::new(true, false)
    }

    /// The same product with this epilogue in place of any that it had.
    pub fn with_epilogue(&self, program: Program) -> Self {
        Matmul { epilogue: Some(program), ..*self }
    }

    /// The same product with the sums of the rows of `op(A)` as its last output.
    pub fn with_row_sums(&self) -> Self {
        Matmul { row_sums: true, ..self.clone() }
    }

    /// Operands beyond `A` and `B`, and results that have the product's shape.
    fn extent(&self) -> (usize, usize) {
        match &self.epilogue {
            Some(program) => (program.inputs().saturating_sub(1), program.outputs().len()),
            None => (0, 1),
        }
    }

    /// The dimensions, matrices of `A` stacked where `B` serves all of them.
    fn dims(&self, a: &Shape, b: &Shape) -> Result<Dims, OpError> {
        let wrong = |why: &str| Err(OpError(format!("matmul of {a} and {b}: {why}")));
        if a.rank() < 2 || b.rank() < 2 {
            return wrong("both need at least two dimensions");
        }
        let split = |shape: &Shape, transpose: bool| {
            let (batch, last) = shape.dims().split_at(shape.rank() - 2);
            let (rows, columns) = if transpose { (last[1], last[0]) } else { (last[0], last[1]) };
            (batch.to_vec(), rows, columns)
        };
        let (mut batch, mut m, k) = split(a, self.transpose_a);
        let (b_batch, b_k, n) = split(b, self.transpose_b);
        if k != b_k {
            return wrong(&format!("inner dimensions {k} and {b_k} differ"));
        }
        if k.size(1) == 0 {
            return wrong("there is nothing to add up, the inner dimension is 0");
        }
        if b_batch.is_empty() && !batch.is_empty() {
            if self.transpose_a {
                return wrong("a batch of transposed matrices needs a batch on the right too");
            }
            m = batch.drain(..).fold(m, |m, d| match (m, d) {
                (Dim::Fixed(m), Dim::Rows(k)) | (Dim::Rows(m), Dim::Fixed(k)) => Dim::Rows(m * k),
                (Dim::Fixed(m), Dim::Fixed(k)) | (Dim::Rows(m), Dim::Rows(k)) => Dim::Fixed(m * k),
            });
        } else if batch != b_batch {
            return wrong("leading dimensions must be equal, or the right side has none");
        }
        if matches!(n, Dim::Rows(_)) {
            return wrong("the rows of the batch must stay first in the result");
        }
        Ok(Dims { batch, m, n, k })
    }
}

impl Op for Matmul {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let (operands, results) = self.extent();
        let [a, b, others @ ..] = inputs else {
            return Err(OpError(format!("matmul takes two inputs, got {}", inputs.len())));
        };
        if others.len() != operands {
            let got = inputs.len();
            return Err(OpError(format!("matmul takes {} inputs here, got {got}", 2 + operands)));
        }
        if a.dtype != DType::F32 || b.dtype != DType::F32 {
            return Err(OpError(format!("matmul takes f32, got {a} and {b}")));
        }
        let dims = self.dims(&a.shape, &b.shape)?;
        let mut shape = a.shape.dims()[..a.shape.rank() - 2].to_vec();
        shape.push(a.shape.dims()[a.shape.rank() - if self.transpose_a { 1 } else { 2 }]);
        shape.push(dims.n);
        if shape[1..].iter().any(|d| matches!(d, Dim::Rows(_))) {
            return Err(OpError("matmul: the rows of the batch must stay first".into()));
        }
        let shape = Shape(shape);
        for other in others {
            pointwise::operand(other, &shape)?;
        }
        let mut outputs = vec![TensorType::f32(shape); results];
        if self.row_sums {
            if a.shape.rank() != 2 {
                return Err(OpError(format!("row sums are those of one matrix, got {a}")));
            }
            outputs.push(TensorType::f32(Shape(vec![dims.m])));
        }
        Ok(outputs)
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        if self.epilogue.is_some() || self.row_sums {
            return Err(OpError(
                "a matmul with an epilogue or row sums has no gradient; differentiate before fusion"
                    .into(),
            ));
        }
        let Some(upstream) = gradient.upstream(0) else { return Ok(()) };
        let (a, b) = (gradient.input(0), gradient.input(1));
        if gradient.needs(0) {
            // dA = dC · op(B)ᵀ, or its transpose op(B) · dCᵀ.
            let result = match (self.transpose_a, self.transpose_b) {
                (false, tb) => gradient.one(Matmul::new(false, !tb), &[upstream, b])?,
                (true, tb) => gradient.one(Matmul::new(tb, true), &[b, upstream])?,
            };
            gradient.set(0, result);
        }
        if gradient.needs(1) {
            let stacked = gradient.ty(b).shape.rank() == 2 && gradient.ty(a).shape.rank() > 2;
            let (a, upstream) = match stacked {
                true => (stack(gradient, a)?, stack(gradient, upstream)?),
                false => (a, upstream),
            };
            // dB = op(A)ᵀ · dC, or its transpose dCᵀ · op(A).
            let ta = self.transpose_a;
            let result = match self.transpose_b {
                false => gradient.one(Matmul::new(!ta, false), &[a, upstream])?,
                true => gradient.one(Matmul::new(true, ta), &[upstream, a])?,
            };
            gradient.set(1, result);
        }
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let Sizes { batch, m, n, k } = self.sizes(call.types, call.live.rows);
        let shared = call.types.inputs[1].shape.rank() == 2;
        let mut result = Vec::with_capacity(batch * m * n);
        for matrix in 0..batch {
            let a = &call.inputs[0][matrix * m * k..][..m * k];
            let b = &call.inputs[1][if shared { 0 } else { matrix * k * n }..][..k * n];
            for i in 0..m {
                for j in 0..n {
                    let mut sum = 0.0;
                    for l in 0..k {
                        let x = if self.transpose_a { a[l * m + i] } else { a[i * k + l] };
                        let y = if self.transpose_b { b[j * k + l] } else { b[l * n + j] };
                        sum += x * y;
                    }
                    result.push(sum);
                }
            }
        }
        let mut results = match &self.epilogue {
            None => vec![result],
            Some(program) => {
                let sizes = call.output_sizes(0);
                let others = call.inputs.iter().enumerate().skip(2);
                let mut operands = vec![(result.as_slice(), sizes.clone())];
                operands.extend(others.map(|(i, &x)| (x, call.input_sizes(i))));
                pointwise::apply(program, &sizes, &operands, &call.live)
            }
        };
        if self.row_sums {
            let a = call.inputs[0];
            let (row, step) = if self.transpose_a { (1, m) } else { (k, 1) };
            let sum = |i| (0..k).map(|l| a[i * row + l * step]).sum();
            results.push((0..m).map(sum).collect());
        }
        results
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(kernel::MatmulKernel::new(self, types))
    }

    fn as_matmul(&self) -> Option<&Matmul> {
        Some(self)
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        Some(self.launches_with(types, capacity, target, None))
    }

    fn alternatives(
        &self,
        types: &CallTypes,
        capacity: usize,
        target: &Target,
    ) -> Vec<(String, Launches)> {
        let with = |tile: &Tile| self.launches_with(types, capacity, target, Some(*tile));
        tiles().iter().map(|tile| (tile.to_string(), with(tile))).collect()
    }

    fn label(&self) -> String {
        let letter = |transposed| if transposed { "t" } else { "n" };
        let product = format!("matmul {}{}", letter(self.transpose_a), letter(self.transpose_b));
        let sums = if self.row_sums { ", row sums" } else { "" };
        match &self.epilogue {
            None => format!("{product}{sums}"),
            Some(program) => format!("{product}{sums} + {program}"),
        }
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        let Sizes { batch, m, n, k } = self.sizes(types, rows);
        let epilogue = self.epilogue.as_ref().map_or(0, pointwise::work);
        let sums = if self.row_sums { (m * k) as u64 } else { 0 };
        (batch * m * n) as u64 * (2 * k as u64 + epilogue) + sums
    }
}

/// The sizes of one multiplication for some number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sizes {
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
}

impl Matmul {
    fn sizes(&self, types: &CallTypes, rows: usize) -> Sizes {
        self.dims(&types.inputs[0].shape, &types.inputs[1].shape)
            .expect("invariant: the types were accepted when the step was made")
            .sizes(rows)
    }
}

impl Dims {
    fn sizes(&self, rows: usize) -> Sizes {
        Sizes {
            batch: self.batch.iter().map(|d| d.size(rows)).product(),
            m: self.m.size(rows),
            n: self.n.size(rows),
            k: self.k.size(rows),
        }
    }
}

/// The value with all dimensions but the last joined.
fn stack(gradient: &mut Gradient<'_>, value: BufferId) -> Result<BufferId, OpError> {
    let shape = &gradient.ty(value).shape;
    let (last, leading) = shape.dims().split_last().expect("invariant: rank was checked");
    let count: usize = leading.iter().map(|d| d.size(1)).product();
    let first = if shape.has_rows() { Dim::Rows(count) } else { Dim::Fixed(count) };
    let shape = Shape(vec![first, *last]);
    gradient.one(Reshape { shape }, &[value])
}
