//! The fast CPU form: tiles of the crate's own GEMM, matrix after matrix.

use super::{Dims, Matmul, Sizes};
use crate::cpu::gemm::Gemm;
use crate::op::{CallTypes, CpuKernel, Live, Operand, Split, TaskIo};

pub(super) struct MatmulKernel {
    op: Matmul,
    dims: Dims,
    /// Whether one right side serves all matrices.
    shared_b: bool,
}

impl MatmulKernel {
    pub(super) fn new(op: Matmul, types: &CallTypes) -> Self {
        let [a, b] = [0, 1].map(|i| &types.inputs[i].shape);
        let dims = op.dims(a, b).expect("invariant: the types were accepted");
        MatmulKernel { op, dims, shared_b: b.rank() == 2 }
    }

    /// The multiplication of one matrix; sizes follow the rows in use.
    fn gemm(&self, sizes: &Sizes) -> Gemm {
        let Sizes { m, n, k, .. } = *sizes;
        let Matmul { transpose_a, transpose_b } = self.op;
        Gemm { m, n, k, transpose_a, transpose_b, accumulate: false }
    }
}

impl CpuKernel for MatmulKernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        let sizes = self.dims.sizes(live.rows);
        sizes.batch * self.gemm(&sizes).tasks()
    }

    fn split(&self, _phase: usize, _operand: Operand, live: &Live) -> Split {
        let sizes = self.dims.sizes(live.rows);
        let (rows, columns) = self.gemm(&sizes).tile(0);
        Split::Tiles {
            rows: sizes.m,
            columns: sizes.n,
            tile_rows: rows.len(),
            tile_columns: columns.len(),
        }
    }

    fn run(&self, _phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        let sizes = self.dims.sizes(live.rows);
        let Sizes { m, n, k, .. } = sizes;
        let gemm = self.gemm(&sizes);
        let (matrix, tile) = (task / gemm.tasks(), task % gemm.tasks());
        let a = &io.input(0)[matrix * m * k..][..m * k];
        let b = &io.input(1)[if self.shared_b { 0 } else { matrix * k * n }..][..k * n];
        gemm.compute(tile, a, b, io.tile(0), &mut |_, _, _| ());
    }
}
