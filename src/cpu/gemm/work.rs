//! The walk of one task through its tile: chunks of columns, blocks of k, blocks of rows, panels.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::Range;

use super::kernel::{Block, Kernels, Panel, VECTORS};
use super::{Epilogue, Gemm};
use crate::cpu::tile::TileMut;

/// Most steps of k between two visits to C.
const K_BLOCK: usize = 256;
/// Most columns whose part of B is packed at a time; a multiple of every panel's width.
const CHUNK: usize = 128;
/// Most elements of C in one chunk of columns that its epilogue sees as one block.
const TOGETHER: usize = 1024;
/// Packed panels of B.
#[repr(align(64))]
struct Buffer(#[expect(dead_code, reason = "reached by pointer")] [f32; K_BLOCK * CHUNK]);

/// Part of a matrix: where it begins, the stride of its rows (of its columns, in a transposed
/// B), and the stride of its k.
#[derive(Clone, Copy)]
struct Part {
    start: *const f32,
    row: usize,
    k: usize,
}

/// Computes one tile of a product, `[a, b]` being its operands.
///
/// # Safety
/// `a` and `b` have all elements of the shape, and `c` has the size of the tile, which is inside C.
pub(super) unsafe fn walk(
    product: &Gemm,
    kernels: &Kernels,
    (rows, columns): (Range<usize>, Range<usize>),
    [a, b]: [&[f32]; 2],
    mut c: TileMut<'_>,
    epilogue: Epilogue,
) {
    let Gemm { k, transpose_b, .. } = *product;
    let mut buffer = MaybeUninit::<Buffer>::uninit();
    let blocks = rows.len().div_ceil(kernels.rows());
    let row = rows.len() == 1;
    let work = Work { product, kernels, a, b, blocks, row, buffer: buffer.as_mut_ptr().cast() };
    // A panel that is used once is packed and used while in L1, or read row by row where it is.
    let (chunk, k_block) = match (blocks, transpose_b) {
        (1, true) if row => (kernels.width(), 4 * K_BLOCK),
        (1, true) => (kernels.width(), K_BLOCK),
        (1, false) if row => (16 * CHUNK, K_BLOCK / 16),
        _ => (CHUNK, K_BLOCK),
    };
    let k_block = k.div_ceil(k.div_ceil(k_block).max(1)).next_multiple_of(4).max(4);
    // What stays in L1 anyway is given away at once.
    let together = rows.len() * chunk.min(columns.len()) <= TOGETHER;
    for start in columns.clone().step_by(chunk) {
        let chunk = start..columns.end.min(start + chunk);
        let mut c = c.part(0..rows.len(), start - columns.start..chunk.end - columns.start);
        for k_start in (0..k.max(1)).step_by(k_block) {
            let ks = k_start..k.min(k_start + k_block);
            // SAFETY: all ranges are inside the matrices.
            unsafe { work.pack_b(&chunk, &ks) };
            for block in 0..blocks {
                let first = rows.len() * block / blocks;
                let end = rows.len() * (block + 1) / blocks;
                let mut c = c.part(first..end, 0..chunk.len());
                let block = rows.start + first..rows.start + end;
                // SAFETY: as above; the chunk has been packed.
                unsafe { work.multiply(&block, &chunk, &ks, &mut c) };
                if ks.end == k && !together {
                    epilogue(block.start, start, c);
                }
            }
        }
        if together {
            epilogue(rows.start, start, c);
        }
    }
}

/// What one task works with.
struct Work<'a> {
    product: &'a Gemm,
    kernels: &'a Kernels,
    a: &'a [f32],
    b: &'a [f32],
    /// Blocks of rows that use each panel of B.
    blocks: usize,
    /// Whether the tile has a single row.
    row: bool,
    buffer: *mut f32,
}

impl Work<'_> {
    /// The chunk's panels, the last one perhaps narrower.
    fn panels(&self, chunk: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (end, width) = (chunk.end, self.kernels.width());
        chunk.clone().step_by(width).map(move |start| start..end.min(start + width))
    }

    /// Vectors that hold so many columns of a panel.
    fn vectors(&self, columns: usize) -> usize {
        const { assert!(VECTORS == 2) };
        if columns > self.kernels.lanes { 2 } else { 1 }
    }

    /// Whether a panel of B is read where it is: if it has full vectors, and is used once or the
    /// whole of B stays in L1 anyway.
    fn in_place(&self, panel: &Range<usize>) -> bool {
        let Gemm { n, k, transpose_b, .. } = *self.product;
        if transpose_b {
            self.row && panel.len() == self.kernels.width()
        } else {
            let full = panel.len() == self.vectors(panel.len()) * self.kernels.lanes;
            full && (self.blocks == 1 || k * n <= 4096)
        }
    }

    /// The panel where it is stored.
    fn stored_b(&self, panel: &Range<usize>, ks: &Range<usize>) -> Part {
        let Gemm { n, k, transpose_b, .. } = *self.product;
        let (row, k) = if transpose_b { (k, 1) } else { (1, n) };
        let start = self.b.as_ptr().wrapping_add(panel.start * row + ks.start * k);
        Part { start, row, k }
    }

    /// The panel's place in the buffer.
    fn packed_b(&self, panel: &Range<usize>, chunk: &Range<usize>, ks: &Range<usize>) -> *mut f32 {
        self.buffer.wrapping_add((panel.start - chunk.start) * ks.len())
    }

    /// Packs the panels of a chunk that are not read where they are.
    ///
    /// # Safety
    /// The ranges are inside B.
    unsafe fn pack_b(&self, chunk: &Range<usize>, ks: &Range<usize>) {
        for panel in self.panels(chunk).filter(|panel| !self.in_place(panel)) {
            let to = self.packed_b(&panel, chunk, ks);
            let Part { start: from, row, k } = self.stored_b(&panel, ks);
            let (stride, pack) = if self.product.transpose_b {
                (row, self.kernels.pack_transposed)
            } else {
                (k, self.kernels.pack)
            };
            let width = self.vectors(panel.len()) * self.kernels.lanes;
            let panel = Panel { from, stride, columns: panel.len(), k: ks.len(), width, to };
            // SAFETY: the panel is inside B, and the buffer has room for K_BLOCK times CHUNK.
            unsafe { pack(&panel) };
        }
    }

    /// The rows of A, which are read where they are.
    fn stored_a(&self, rows: &Range<usize>, ks: &Range<usize>) -> Part {
        let Gemm { m, k, transpose_a, .. } = *self.product;
        let (row, k) = if transpose_a { (1, m) } else { (k, 1) };
        let start = self.a.as_ptr().wrapping_add(rows.start * row + ks.start * k);
        Part { start, row, k }
    }

    /// Rows times a chunk of columns, over a block of k.
    ///
    /// # Safety
    /// The ranges are inside the matrices, `c` has their size, and the chunk has been packed.
    unsafe fn multiply(
        &self,
        rows: &Range<usize>,
        chunk: &Range<usize>,
        ks: &Range<usize>,
        c: &mut TileMut<'_>,
    ) {
        let kernels = self.kernels;
        let a = self.stored_a(rows, ks);
        for panel in self.panels(chunk) {
            let vectors = self.vectors(panel.len());
            let stored = self.stored_b(&panel, ks);
            let (b, b_row, kernel) = match (self.in_place(&panel), self.product.transpose_b) {
                (true, true) => (stored.start, stored.row, kernels.multiply_row),
                (true, false) => {
                    (stored.start, stored.k, kernels.multiply[rows.len() - 1][vectors - 1])
                }
                (false, _) => (
                    self.packed_b(&panel, chunk, ks).cast_const(),
                    vectors * kernels.lanes,
                    kernels.multiply[rows.len() - 1][vectors - 1],
                ),
            };
            let block = Block {
                k: ks.len(),
                a: a.start,
                a_row: a.row,
                a_k: a.k,
                b,
                b_row,
                c: c.as_mut_ptr().wrapping_add(panel.start - chunk.start),
                c_row: c.stride(),
                columns: panel.len(),
                accumulate: self.product.accumulate || ks.start > 0,
            };
            // SAFETY: rows, columns and k are inside A, B and C, or packed in the buffer.
            unsafe { kernel(&block) };
        }
    }
}
