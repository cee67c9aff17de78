//! Matrix multiplication: `C = op(A) · op(B)`, batched, in all transpose forms.
//!
//! `A` is `[.., m, k]`, or `[.., k, m]` with `transpose_a`; `B` is `[.., k, n]`, or `[.., n, k]`
//! with `transpose_b`. Leading dimensions must be equal, or `B` has none and serves all matrices.

mod kernel;

use serde::{Deserialize, Serialize};

use super::reshape::Reshape;
use super::{BufferId, CallTypes, Case, CpuKernel, Family, Gradient, Op, OpError, ReferenceCall};
use crate::tensor::{DType, Dim, Shape, TensorType};

/// Matrix multiplication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matmul {
    /// Whether `A` is stored with its last two dimensions swapped.
    pub transpose_a: bool,
    /// Whether `B` is stored with its last two dimensions swapped.
    pub transpose_b: bool,
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
    /// `A · B`.
    pub fn nn() -> Self {
        Matmul { transpose_a: false, transpose_b: false }
    }

    /// `A · Bᵀ`: a dense layer, whose weight is `[out, in]`.
    pub fn nt() -> Self {
        Matmul { transpose_a: false, transpose_b: true }
    }

    /// `Aᵀ · B`: the gradient of a weight.
    pub fn tn() -> Self {
        Matmul { transpose_a: true, transpose_b: false }
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
        let [a, b] = inputs else {
            return Err(OpError(format!("matmul takes two inputs, got {}", inputs.len())));
        };
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
        Ok(vec![TensorType::f32(Shape(shape))])
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        let Some(upstream) = gradient.upstream(0) else { return Ok(()) };
        let (a, b) = (gradient.input(0), gradient.input(1));
        if gradient.needs(0) {
            // dA = dC · op(B)ᵀ, or its transpose op(B) · dCᵀ.
            let result =
                match (self.transpose_a, self.transpose_b) {
                    (false, tb) => gradient
                        .one(Matmul { transpose_a: false, transpose_b: !tb }, &[upstream, b])?,
                    (true, tb) => gradient
                        .one(Matmul { transpose_a: tb, transpose_b: true }, &[b, upstream])?,
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
            let result =
                match self.transpose_b {
                    false => gradient
                        .one(Matmul { transpose_a: !ta, transpose_b: false }, &[a, upstream])?,
                    true => gradient
                        .one(Matmul { transpose_a: true, transpose_b: ta }, &[upstream, a])?,
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
        vec![result]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(kernel::MatmulKernel::new(*self, types))
    }

    fn label(&self) -> String {
        let letter = |transposed| if transposed { "t" } else { "n" };
        format!("matmul {}{}", letter(self.transpose_a), letter(self.transpose_b))
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        let Sizes { batch, m, n, k } = self.sizes(types, rows);
        2 * (batch * m * n) as u64 * k as u64
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

impl Family for Matmul {
    const NAME: &'static str = "matmul";

    fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for transpose_a in [false, true] {
            for transpose_b in [false, true] {
                let op = Matmul { transpose_a, transpose_b };
                let pair = |m: usize, k: usize, swap| if swap { [k, m] } else { [m, k] };
                for (m, k, n) in [(1, 1, 1), (2, 3, 5), (17, 33, 65), (1, 64, 7), (37, 129, 1)] {
                    let a = TensorType::f32(Shape::fixed(&pair(m, k, transpose_a)));
                    let b = TensorType::f32(Shape::fixed(&pair(k, n, transpose_b)));
                    cases.push(Case::new(op, vec![a, b], 1));
                }
                let a = TensorType::f32(Shape::rows(&pair(5, 7, transpose_a)));
                let b = TensorType::f32(Shape::rows(&pair(7, 3, transpose_b)));
                cases.push(Case::new(op, vec![a, b], 3));
            }
        }
        let rows = |dims: &[usize]| TensorType::f32(Shape::rows(dims));
        let fixed = |dims: &[usize]| TensorType::f32(Shape::fixed(dims));
        cases.push(Case::new(Matmul::nt(), vec![rows(&[64]), fixed(&[10, 64])], 17));
        cases.push(Case::new(Matmul::nn(), vec![rows(&[13]), fixed(&[13, 1])], 1));
        cases.push(Case::new(Matmul::tn(), vec![rows(&[5]), rows(&[11])], 29));
        cases.push(Case::new(Matmul::nt(), vec![rows(&[4, 6]), fixed(&[5, 6])], 3));
        cases
    }
}
