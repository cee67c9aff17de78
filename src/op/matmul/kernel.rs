//! The fast CPU form: tiles of the crate's own GEMM, matrix after matrix. An epilogue takes the place
//! of the product in the first output, rows at a time.

use super::{Dims, Matmul, Sizes};
use crate::cpu::gemm::Gemm;
use crate::cpu::tile::TileMut;
use crate::op::pointwise::{Area, Interpreter, MAX_OUTPUTS, Source};
use crate::op::{CallTypes, CpuKernel, Live, Operand, Split, TaskIo};

pub(super) struct MatmulKernel {
    transpose_a: bool,
    transpose_b: bool,
    dims: Dims,
    /// Whether one right side serves all matrices.
    shared_b: bool,
    outputs: usize,
    epilogue: Option<Interpreter>,
}

impl MatmulKernel {
    pub(super) fn new(op: &Matmul, types: &CallTypes) -> Self {
        let [a, b] = [0, 1].map(|i| &types.inputs[i].shape);
        let dims = op.dims(a, b).expect("invariant: the types were accepted");
        let epilogue = op.epilogue.as_ref().map(|program| {
            let others = types.inputs.iter().enumerate().skip(2);
            let mut sources = vec![Source::Old(0)];
            sources.extend(others.map(|(i, ty)| Source::Input(i, ty.clone())));
            Interpreter::new(program, &sources, &types.outputs[0].shape)
        });
        let Matmul { transpose_a, transpose_b, .. } = *op;
        let (shared_b, outputs) = (b.rank() == 2, types.outputs.len());
        MatmulKernel { transpose_a, transpose_b, dims, shared_b, outputs, epilogue }
    }

    /// The multiplication of one matrix; sizes follow the rows in use.
    fn gemm(&self, sizes: &Sizes) -> Gemm {
        let Sizes { m, n, k, .. } = *sizes;
        let MatmulKernel { transpose_a, transpose_b, .. } = *self;
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

    fn thread_scratch(&self) -> usize {
        self.epilogue.as_ref().map_or(0, Interpreter::scratch)
    }

    fn run(&self, _phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        let sizes = self.dims.sizes(live.rows);
        let Sizes { m, n, k, .. } = sizes;
        let gemm = self.gemm(&sizes);
        let (matrix, task) = (task / gemm.tasks(), task % gemm.tasks());
        let a = &io.input(0)[matrix * m * k..][..m * k];
        let b = &io.input(1)[if self.shared_b { 0 } else { matrix * k * n }..][..k * n];
        let product = io.tile(0);
        let Some(epilogue) = &self.epilogue else {
            return gemm.compute(task, a, b, product, &mut |_, _, _| ());
        };
        let scratch = io.thread_scratch();
        epilogue.prepare(io, scratch);
        let (rows, columns) = gemm.tile(task);
        let mut others: [_; MAX_OUTPUTS] = std::array::from_fn(|_| TileMut::empty());
        for (j, tile) in others.iter_mut().enumerate().take(self.outputs).skip(1) {
            *tile = io.tile(j);
        }
        gemm.compute(task, a, b, product, &mut |row, column, block| {
            let area = Area { first: (matrix * m + row) * n + column, stride: n };
            let (row, column) = (row - rows.start, column - columns.start);
            let (height, width) = (block.rows(), block.columns());
            let mut tiles: [_; MAX_OUTPUTS] = std::array::from_fn(|_| TileMut::empty());
            tiles[0] = block.in_one_row();
            for (tile, other) in tiles.iter_mut().zip(&mut others).take(self.outputs).skip(1) {
                let part = other.part(row..row + height, column..column + width);
                *tile = part.in_one_row();
            }
            epilogue.run(area, live, io, scratch, &mut tiles[..self.outputs]);
        });
    }
}
