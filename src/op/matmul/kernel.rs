//! The fast CPU form.

use super::{Dims, Matmul};
use crate::op::{CallTypes, CpuKernel, Live, Operand, Split, TaskIo};

pub(super) struct MatmulKernel {
    op: Matmul,
    dims: Dims,
    shared_b: bool,
}

impl MatmulKernel {
    pub(super) fn new(op: Matmul, types: &CallTypes) -> Self {
        let [a, b] = [0, 1].map(|i| &types.inputs[i].shape);
        let dims = op.dims(a, b).expect("invariant: the types were accepted");
        MatmulKernel { op, dims, shared_b: b.rank() == 2 }
    }
}

impl CpuKernel for MatmulKernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.dims.sizes(live.rows).batch
    }

    fn split(&self, _phase: usize, _operand: Operand, live: &Live) -> Split {
        let sizes = self.dims.sizes(live.rows);
        Split::Chunks(sizes.m * sizes.n)
    }

    fn run(&self, _phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        let super::Sizes { m, n, k, .. } = self.dims.sizes(live.rows);
        let a = &io.input(0)[task * m * k..][..m * k];
        let b = &io.input(1)[if self.shared_b { 0 } else { task * k * n }..][..k * n];
        let c = io.output(0);
        for i in 0..m {
            let row = &mut c[i * n..][..n];
            row.fill(0.0);
            for l in 0..k {
                let x = if self.op.transpose_a { a[l * m + i] } else { a[i * k + l] };
                for (j, c) in row.iter_mut().enumerate() {
                    let y = if self.op.transpose_b { b[j * k + l] } else { b[l * n + j] };
                    *c = x.mul_add(y, *c);
                }
            }
        }
    }
}
