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
/// Rows of a block, padded to whole vectors, in any instruction set.
const MAX_ROWS: usize = 16;

/// Packed panels of B, and packed rows of A.
#[repr(C, align(64))]
struct Buffers {
    b: [f32; K_BLOCK * CHUNK],
    a: [f32; K_BLOCK * MAX_ROWS],
}

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
    let mut buffers = MaybeUninit::<Buffers>::uninit();
    let blocks = rows.len().div_ceil(kernels.rows());
    let row = rows.len() == 1;
    let work = Work { product, kernels, a, b, blocks, row, buffers: buffers.as_mut_ptr() };
    // A panel that is used once is packed and used while in L1, or read row by row where it is.
    let (chunk, k_block) = match (blocks, transpose_b) {
        (1, true) => (kernels.width(), K_BLOCK),
        (1, false) if row => (16 * CHUNK, K_BLOCK / 16),
        _ => (CHUNK, K_BLOCK),
    };
    let k_block = k.div_ceil(k.div_ceil(k_block).max(1)).next_multiple_of(4).max(4);
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
                if ks.end == k {
                    for row in 0..c.rows() {
                        epilogue(block.start + row, start, c.row_mut(row));
                    }
                }
            }
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
    buffers: *mut Buffers,
}

impl Work<'_> {
    /// The chunk's panels, the last one perhaps narrower.
    fn panels(&self, chunk: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (end, width) = (chunk.end, self.kernels.width());
        chunk.clone().step_by(width).map(move |start| start..end.min(start + width))
    }

    /// Vectors that hold so many columns of a panel, or rows of a block.
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
        self.buffers.cast::<f32>().wrapping_add((panel.start - chunk.start) * ks.len())
    }

    /// Packs the panels of a chunk that are not read where they are.
    ///
    /// # Safety
    /// The ranges are inside B.
    unsafe fn pack_b(&self, chunk: &Range<usize>, ks: &Range<usize>) {
        for panel in self.panels(chunk).filter(|panel| !self.in_place(panel)) {
            let to = self.packed_b(&panel, chunk, ks);
            // SAFETY: the panel is inside B, and the buffer has room for K_BLOCK times CHUNK.
            unsafe { self.pack(self.stored_b(&panel, ks), panel.len(), ks.len(), to) };
        }
    }

    /// Lays out rows of A or columns of B for the kernel, and tells the stride between their k.
    ///
    /// # Safety
    /// The part has so many rows and k, and `to` has room for them with rows padded to vectors.
    unsafe fn pack(&self, part: Part, rows: usize, k: usize, to: *mut f32) -> usize {
        let width = self.vectors(rows) * self.kernels.lanes;
        let (stride, pack) = if part.row == 1 {
            (part.k, self.kernels.pack)
        } else {
            (part.row, self.kernels.pack_transposed)
        };
        // SAFETY: the caller's promise is the same.
        unsafe { pack(&Panel { from: part.start, stride, columns: rows, k, width, to }) };
        width
    }

    /// The rows of A: packed, if they are scattered and several panels use them.
    ///
    /// # Safety
    /// The ranges are inside A.
    unsafe fn block_of_a(&self, rows: &Range<usize>, ks: &Range<usize>, panels: usize) -> Part {
        let Gemm { m, k, transpose_a, .. } = *self.product;
        let (row, step) = if transpose_a { (1, m) } else { (k, 1) };
        let start = self.a.as_ptr().wrapping_add(rows.start * row + ks.start * step);
        let stored = Part { start, row, k: step };
        if panels == 1 || !self.product.scattered() {
            return stored;
        }
        // SAFETY: the rows are inside A, and the buffer has room for K_BLOCK times MAX_ROWS.
        unsafe {
            let to = (&raw mut (*self.buffers).a).cast::<f32>();
            let width = self.pack(stored, rows.len(), ks.len(), to);
            Part { start: to, row: 1, k: width }
        }
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
        // SAFETY: the caller's promise is the same.
        let a = unsafe { self.block_of_a(rows, ks, chunk.len().div_ceil(kernels.width())) };
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
            // SAFETY: rows, columns and k are inside A, B and C, or packed in the buffers.
            unsafe { kernel(&block) };
        }
    }
}
