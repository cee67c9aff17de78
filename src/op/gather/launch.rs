//! The CUDA forms: `kernels/gather.cu`.

use super::width;
use crate::op::CallTypes;
use crate::op::launch::{Argument, Kernel, Launch, Launches, Target, is_wide};

/// Threads of a block.
const THREADS: u32 = 256;
/// Rows of the table that a block of the gradient owns at most.
const MOST_ROWS: usize = 512;

/// Elements that a thread moves at once.
fn vector(width: usize) -> usize {
    if width.is_multiple_of(4) { 4 } else { 1 }
}

pub(super) fn forward(types: &CallTypes, capacity: usize, target: &Target) -> Launches {
    let (table, indices, output) =
        (&types.inputs[0], &types.inputs[1].shape, &types.outputs[0].shape);
    if output.elements(capacity) == 0 {
        return Launches::default();
    }
    let vector = vector(width(table));
    let pieces = width(table) / vector;
    let kernel = Kernel::new("gather")
        .constant("WIDE", u32::from(is_wide([&table.shape, indices, output], capacity)))
        .constant("GRADIENT", 0)
        .constant("VECTOR", vector)
        .constant("ROWS", table.shape.dims()[0].size(1))
        .constant("PIECES", pieces)
        .size("POSITIONS", indices);
    let blocks = target.blocks(indices.elements(capacity) * pieces, THREADS);
    one(kernel, "gather", [blocks, 1, 1])
}

pub(super) fn gradient(types: &CallTypes, capacity: usize, target: &Target) -> Launches {
    let (indices, upstream) = (&types.inputs[0].shape, &types.inputs[1].shape);
    let (table, width) = (&types.outputs[0].shape, width(&types.outputs[0]));
    let rows = table.dims()[0].size(1);
    if rows * width == 0 {
        return Launches::default();
    }
    let vector = vector(width);
    let lanes = width.div_ceil(vector).next_power_of_two().min(32);
    let chunks = width.div_ceil(vector * lanes);
    // Two rounds of blocks, of which three fill a multiprocessor: with more of them, the indices
    // would be read more often.
    let blocks = (target.multiprocessors() * 6).div_ceil(chunks);
    let groups = THREADS as usize / lanes;
    let block_rows = rows.div_ceil(blocks).min(MOST_ROWS).next_multiple_of(groups);
    let kernel = Kernel::new("gather")
        .constant("WIDE", u32::from(is_wide([indices, upstream, table], capacity)))
        .constant("GRADIENT", 1)
        .constant("VECTOR", vector)
        .constant("LANES", lanes)
        .constant("BLOCK_ROWS", block_rows)
        .constant("ROWS", rows)
        .constant("WIDTH", width)
        .size("POSITIONS", indices);
    one(kernel, "gradient", [rows.div_ceil(block_rows) as u32, chunks as u32, 1])
}

/// Both forms take their two inputs and the output.
fn one(kernel: Kernel, entry: &'static str, grid: [u32; 3]) -> Launches {
    let arguments =
        vec![Argument::Live, Argument::Input(0), Argument::Input(1), Argument::Output(0)];
    Launches::one(Launch { kernel, entry, grid, threads: THREADS, shared: 0, arguments })
}
