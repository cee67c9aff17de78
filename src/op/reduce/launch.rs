//! The CUDA form: one launch, chosen by the place of the reduced axes and by their sizes.

use super::{Reduce, Reduction};
use crate::op::CallTypes;
use crate::op::launch::{Argument, Kernel, Launch, Launches, Target, is_wide};
use crate::op::rows::{RowLaunch, Rows};
use crate::tensor::Shape;

const THREADS: usize = 256;
/// Fewest elements that a block of its own is worth.
const PART: usize = 4096;
/// Blocks for each multiprocessor, where one result takes several: as many as run at once.
const BLOCKS: usize = 4;

pub(super) fn launches(
    op: &Reduce,
    types: &CallTypes,
    capacity: usize,
    target: &Target,
) -> Launches {
    let dims = types.inputs[0].shape.dims();
    let (first, last) = (op.axes[0], op.axes[op.axes.len() - 1]);
    let inner: usize = dims[last + 1..].iter().map(|d| d.size(1)).product();
    if inner == 0 {
        return Launches::default();
    }
    let outer = Shape(dims[..first].to_vec());
    let reduced = Shape(dims[first..=last].to_vec());
    let kernel = Kernel::new("reduce").constant("REDUCTION", name(op.reduction));
    let (rows, count) = (outer.elements(capacity), reduced.elements(capacity));
    let most = BLOCKS * target.multiprocessors();
    if inner == 1 && !reduced.has_rows() && (count <= PART || rows >= most) {
        let rows = Rows::new(&types.inputs[0], dims.len() - first);
        let arguments = vec![Argument::Input(0), Argument::Output(0)];
        let kernel = kernel.printed("form", "//@ reduce_rows.cuh".into());
        let launch = RowLaunch { kernel, entry: "reduce_rows", arrays: 1, arguments };
        return launch.over(&rows, types, capacity, target);
    }
    let kernel = kernel
        .constant("WIDE", u32::from(is_wide([&types.inputs[0].shape], capacity)))
        .constant("INNER", inner)
        .size("OUTER", &outer)
        .size("REDUCED", &reduced);
    match inner {
        1 => parts(kernel, rows, count, most),
        _ => columns(kernel, [rows, count, inner], most, target),
    }
}

fn name(reduction: Reduction) -> &'static str {
    match reduction {
        Reduction::Sum => "SUM",
        Reduction::Mean => "MEAN",
        Reduction::Max => "MAX",
        Reduction::SumSquares => "SUM_SQUARES",
    }
}

/// Few long rows.
fn parts(kernel: Kernel, rows: usize, count: usize, most: usize) -> Launches {
    let parts = count.div_ceil(PART).clamp(1, most.div_ceil(rows.max(1)));
    // All rows start at a multiple of four elements, or there is one alone.
    let vector = if rows == 1 || count.is_multiple_of(4) { 4 } else { 1 };
    let kernel = kernel.printed("form", "//@ reduce_parts.cuh".into());
    let kernel = kernel.constant("PARTS", parts).constant("VECTOR", vector);
    split(kernel, "reduce_parts", [parts, rows.max(1)], THREADS, [parts, rows, rows])
}

/// Columns: threads lie along them first, so that a warp reads neighbouring elements.
fn columns(
    kernel: Kernel,
    [outer, count, inner]: [usize; 3],
    most: usize,
    target: &Target,
) -> Launches {
    let vector = if inner.is_multiple_of(4) { 4 } else { 1 };
    let groups = (outer * inner / vector).max(1);
    let (across, down) = match count {
        0..=16 => (groups.next_power_of_two().clamp(32, THREADS), 1),
        _ => {
            let across = groups.next_power_of_two().min(32);
            (across, THREADS / across)
        }
    };
    let blocks = groups.div_ceil(across);
    let parts = (count / (8 * down)).clamp(1, (most / blocks).max(1));
    let grid = match parts {
        1 => target.blocks(blocks * across * down, (across * down) as u32) as usize,
        _ => blocks,
    };
    let kernel = kernel.printed("form", "//@ reduce_columns.cuh".into());
    let kernel = kernel.constant("ACROSS", across).constant("DOWN", down);
    let kernel = kernel.constant("PARTS", parts).constant("VECTOR", vector);
    let results = outer * inner;
    split(kernel, "reduce_columns", [grid, parts], across * down, [parts, results, blocks])
}

/// A launch in which `parts` blocks share each of `results`, and count themselves by `tickets`.
fn split(
    kernel: Kernel,
    entry: &'static str,
    grid: [usize; 2],
    threads: usize,
    [parts, results, tickets]: [usize; 3],
) -> Launches {
    let launch = Launch {
        kernel,
        entry,
        grid: [grid[0] as u32, grid[1] as u32, 1],
        threads: threads as u32,
        shared: 0,
        arguments: vec![
            Argument::Live,
            Argument::Input(0),
            Argument::Output(0),
            Argument::Scratch(0),
            Argument::Tickets,
        ],
    };
    let several = usize::from(parts > 1);
    Launches {
        list: vec![launch],
        scratch: several * parts * results * size_of::<f32>(),
        tickets: several * tickets,
    }
}
