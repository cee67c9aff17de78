//! The fast CPU form: tiles of the crate's own GEMM, matrix after matrix. An epilogue takes the place
//! of the product in the first output, rows at a time. Sums of rows are a phase of their own, by the
//! loops of the reduction that they stand for.

use super::{Dims, Matmul, Sizes};
use crate::cpu::gemm::Gemm;
use crate::cpu::tile::TileMut;
use crate::op::pointwise::{self, Area, Interpreter, MAX_OUTPUTS, Source};
use crate::op::reduce::{Reduce, ReduceKernel, Reduction};
use crate::op::{CallTypes, CpuKernel, Live, Operand, Split, TaskIo};

pub(super) struct MatmulKernel {
    transpose_a: bool,
    transpose_b: bool,
    dims: Dims,
    /// Whether one right side serves all matrices.
    shared_b: bool,
    /// Outputs of the product's shape.
    outputs: usize,
    epilogue: Option<Interpreter>,
    /// Of the epilogue, for an element, in multiply-adds.
    cost: usize,
    row_sums: Option<ReduceKernel>,
}

/// Multiply-adds of a product in the time of one operation of an epilogue.
const INTERPRETED: usize = 8;

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
        let cost = op.epilogue.as_ref().map_or(0, |p| INTERPRETED * pointwise::work(p) as usize);
        let row_sums = op.row_sums.then(|| {
            let sum = Reduce::new(Reduction::Sum, &[usize::from(!op.transpose_a)], false);
            ReduceKernel::new(&sum, types, types.outputs.len() - 1)
        });
        let Matmul { transpose_a, transpose_b, .. } = *op;
        let (shared_b, outputs) = (b.rank() == 2, op.extent().1);
        MatmulKernel { transpose_a, transpose_b, dims, shared_b, outputs, epilogue, cost, row_sums }
    }

    /// The multiplication of one matrix; sizes follow the rows in use.
    fn gemm(&self, sizes: &Sizes) -> Gemm {
        let Sizes { m, n, k, .. } = *sizes;
        let MatmulKernel { transpose_a, transpose_b, cost: epilogue, .. } = *self;
        Gemm { m, n, k, transpose_a, transpose_b, accumulate: false, epilogue }
    }
}

impl CpuKernel for MatmulKernel {
    fn phases(&self, live: &Live) -> usize {
        1 + self.row_sums.as_ref().map_or(0, |sums| sums.phases(live))
    }

    fn scratch(&self, rows: usize) -> usize {
        self.row_sums.as_ref().map_or(0, |sums| sums.scratch(rows))
    }

    fn tasks(&self, phase: usize, live: &Live) -> usize {
        if let (1.., Some(sums)) = (phase, &self.row_sums) {
            return sums.tasks(phase - 1, live);
        }
        let sizes = self.dims.sizes(live.rows);
        sizes.batch * self.gemm(&sizes).tasks()
    }

    fn is_apart(&self, phase: usize) -> bool {
        // Of the row sums, the first phase reads the product's operand alone.
        phase == 1
    }

    fn split(&self, phase: usize, operand: Operand, live: &Live) -> Split {
        match (&self.row_sums, phase, operand) {
            (Some(sums), 1.., _) => return sums.split(phase - 1, operand, live),
            (_, _, Operand::Output(i)) if i < self.outputs => {}
            _ => return Split::Read,
        }
        let sizes = self.dims.sizes(live.rows);
        let (rows, columns) = self.gemm(&sizes).tile(0);
        Split::Tiles {
            rows: sizes.m,
            columns: sizes.n,
            tile_rows: rows.len(),
            tile_columns: columns.len(),
            down_first: self.gemm(&sizes).down_first(),
        }
    }

    fn thread_scratch(&self) -> usize {
        self.epilogue.as_ref().map_or(0, Interpreter::scratch)
    }

    fn run(&self, phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        if let (1.., Some(sums)) = (phase, &self.row_sums) {
            return sums.run(phase - 1, task, live, io);
        }
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
