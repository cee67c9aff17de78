//! The matrix product in single precision: C = op(A) · op(B), row-major, to be shared by a team.
//!
//! Every element of C has one `f32` accumulator to which products are added in order of k, each
//! with one rounding (fused multiply-add). So its bits depend on nothing but its row of A and its
//! column of B: not on the instruction set, the tiles, or who computes them.
//!
//! C is cut into tiles, a choice made from the shape alone; a tile is a task, and tasks share
//! nothing. A task walks its columns in chunks and k in blocks, and lays the chunk's part of B out
//! as panels in a buffer on its stack, where they stay in the cache while all its rows pass:
//!
//! ```text
//! for chunk of columns, for block of k:           // B: 256 x 128 at most, in L2
//!     lay out B's panels, one or two vectors wide
//!     for block of rows:                           // A: 12 x 256 at most, in L1
//!         for panel: micro-kernel                  // C: 12 x 32, in registers
//! ```
//!
//! The trade-off not taken: panels packed once for all tasks, in memory of the caller. It would
//! cost a barrier before each product and save only the packing that several tasks repeat, which
//! tiles of many rows keep to a few per cent.

#![allow(unsafe_code)]

mod kernel;
mod lanes;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::mem::MaybeUninit;
use std::ops::Range;

use self::kernel::{Block, Kernels, Panel};
use super::tile::TileMut;

/// Most steps of k between two visits to C.
const K_BLOCK: usize = 256;
/// Most columns whose part of B is packed at a time; a multiple of every panel's width.
const CHUNK: usize = 128;

/// A matrix product C = op(A) · op(B), or C += op(A) · op(B); all matrices row-major and dense.
///
/// Cheap to make, so a product over the rows in use is simply one of a smaller `m` (or `k`, in a
/// gradient with respect to weights).
///
/// ```
/// use ironwarp::cpu::gemm::Gemm;
/// let product = Gemm { m: 1, n: 2, k: 3, transpose_b: true, ..Gemm::default() };
/// let mut c = [0.0; 2];
/// product.run(&[1.0, 2.0, 3.0], &[1.0, 1.0, 1.0, 0.0, 0.0, 2.0], &mut c);
/// assert_eq!(c, [6.0, 6.0]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gemm {
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Products in each sum.
    pub k: usize,
    /// Whether A is stored `[k, m]` and not `[m, k]`.
    pub transpose_a: bool,
    /// Whether B is stored `[n, k]` and not `[k, n]`.
    pub transpose_b: bool,
    /// Whether the sums begin with what is in C, or with 0.
    pub accumulate: bool,
}

/// Sees finished elements of C while they are in the cache: row, first column, and the elements.
pub type Epilogue<'a> = &'a mut dyn FnMut(usize, usize, &mut [f32]);

impl Gemm {
    /// Number of tiles that C is cut into; 0 if C is empty.
    pub fn tasks(&self) -> usize {
        let (rows, columns) = self.tile_size();
        self.m.div_ceil(rows) * self.n.div_ceil(columns)
    }

    /// Rows and columns of one tile. The tiles of all tasks are disjoint and cover C.
    ///
    /// # Panics
    /// If there is no such task.
    pub fn tile(&self, task: usize) -> (Range<usize>, Range<usize>) {
        assert!(task < self.tasks(), "task {task} of {}", self.tasks());
        let (rows, columns) = self.tile_size();
        let across = self.n.div_ceil(columns);
        let (row, column) = (task / across * rows, task % across * columns);
        (row..self.m.min(row + rows), column..self.n.min(column + columns))
    }

    /// Computes one tile; `c` is that tile of C. Then gives its elements to `epilogue`, each once.
    ///
    /// # Panics
    /// If `a` or `b` has fewer elements than the shape says, or `c` is not of the tile's size.
    pub fn compute(&self, task: usize, a: &[f32], b: &[f32], c: TileMut<'_>, epilogue: Epilogue) {
        let fastest = Kernels::available().next();
        self.compute_with(
            fastest.expect("invariant: the portable kernels"),
            task,
            a,
            b,
            c,
            epilogue,
        );
    }

    /// Computes C, one task after the other.
    ///
    /// # Panics
    /// If a slice has fewer elements than the shape says.
    pub fn run(&self, a: &[f32], b: &[f32], c: &mut [f32]) {
        let mut c = TileMut::new(c, self.m, self.n, self.n);
        for task in 0..self.tasks() {
            let (rows, columns) = self.tile(task);
            self.compute(task, a, b, c.part(rows, columns), &mut |_, _, _| ());
        }
    }

    /// Rows and columns of a full tile: one tile for less than some ten microseconds of work,
    /// 16 for eight threads to share, more where there is much. Tall tiles, because each task packs
    /// its part of B for itself, but enough columns that A is not read too often.
    fn tile_size(&self) -> (usize, usize) {
        let (m, n) = (self.m.max(1), self.n.max(1));
        let work = m.saturating_mul(n).saturating_mul(self.k);
        let wanted = (work / SMALL).clamp(1, if work < LARGE { 16 } else { 32 });
        let columns = n.div_ceil(wanted).max(MIN_COLUMNS.min(n)).next_multiple_of(MIN_COLUMNS);
        let rows = m.div_ceil(wanted.div_ceil(n.div_ceil(columns))).max(MIN_ROWS.min(m));
        (rows, columns)
    }

    fn compute_with(
        &self,
        kernels: &Kernels,
        task: usize,
        a: &[f32],
        b: &[f32],
        mut c: TileMut<'_>,
        epilogue: Epilogue,
    ) {
        let (rows, columns) = self.tile(task);
        let holds = |x: &[f32], rows: usize| rows.checked_mul(self.k).is_some_and(|n| n <= x.len());
        assert!(holds(a, self.m), "A has only {} elements: {self:?}", a.len());
        assert!(holds(b, self.n), "B has only {} elements: {self:?}", b.len());
        assert_eq!((c.rows(), c.columns()), (rows.len(), columns.len()), "tile {task}: {self:?}");
        let mut buffers = MaybeUninit::<Buffers>::uninit();
        let blocks = rows.len().div_ceil(kernels.rows());
        let work = Work { product: self, kernels, a, b, blocks, buffers: buffers.as_mut_ptr() };
        // With one block of rows a panel is used once: at once, while in L1.
        let chunk = if blocks == 1 { kernels.width() } else { CHUNK };
        let k_block = self.k.div_ceil(self.k.div_ceil(K_BLOCK).max(1)).next_multiple_of(4).max(4);
        for start in columns.clone().step_by(chunk) {
            let chunk = start..columns.end.min(start + chunk);
            let inside = start - columns.start..chunk.end - columns.start;
            let mut c = c.part(0..rows.len(), inside);
            for k in (0..self.k.max(1)).step_by(k_block) {
                let ks = k..self.k.min(k + k_block);
                work.pack_b(&chunk, &ks);
                for block in 0..blocks {
                    let first = rows.len() * block / blocks;
                    let end = rows.len() * (block + 1) / blocks;
                    let mut c = c.part(first..end, 0..chunk.len());
                    let block = rows.start + first..rows.start + end;
                    work.multiply(&block, &chunk, &ks, &mut c);
                    if ks.end == self.k {
                        for row in 0..c.rows() {
                            epilogue(block.start + row, start, c.row_mut(row));
                        }
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
    buffers: *mut Buffers,
}

impl Work<'_> {
    /// The chunk's panels, the last one perhaps narrower.
    fn panels(&self, chunk: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let (end, width) = (chunk.end, self.kernels.width());
        chunk.clone().step_by(width).map(move |start| start..end.min(start + width))
    }

    /// Columns of C, rounded up to whole vectors.
    fn padded(&self, columns: usize) -> usize {
        columns.next_multiple_of(self.kernels.lanes)
    }

    /// Whether a panel of B is read where it is: it needs full vectors, and gains if it is used
    /// once, or if the whole is so small that it stays in L1 anyway.
    fn in_place(&self, panel: &Range<usize>) -> bool {
        let Gemm { n, k, transpose_b, .. } = *self.product;
        !transpose_b
            && panel.len() == self.padded(panel.len())
            && (self.blocks == 1 || k * n <= 4096)
    }

    /// Where the panel begins in the buffer.
    fn packed(&self, chunk: &Range<usize>, panel: &Range<usize>, ks: &Range<usize>) -> *mut f32 {
        let panels: *mut f32 = self.buffers.cast();
        panels.wrapping_add((panel.start - chunk.start) * ks.len())
    }

    /// Packs the panels of a chunk.
    fn pack_b(&self, chunk: &Range<usize>, ks: &Range<usize>) {
        let Gemm { n, k, transpose_b, .. } = *self.product;
        for panel in self.panels(chunk).filter(|panel| !self.in_place(panel)) {
            let (start, stride, pack) = if transpose_b {
                (panel.start * k + ks.start, k, self.kernels.pack_transposed)
            } else {
                (ks.start * n + panel.start, n, self.kernels.pack)
            };
            let panel = Panel {
                from: self.b.as_ptr().wrapping_add(start),
                stride,
                columns: panel.len(),
                k: ks.len(),
                width: self.padded(panel.len()),
                to: self.packed(chunk, &panel, ks),
            };
            // SAFETY: columns and k are inside B, and the buffer has room for K_BLOCK times CHUNK.
            unsafe { pack(&panel) };
        }
    }

    /// The rows of A: start, stride of rows, stride of k.
    fn block_of_a(
        &self,
        rows: &Range<usize>,
        ks: &Range<usize>,
        uses: usize,
    ) -> (*const f32, usize, usize) {
        let Gemm { m, k, transpose_a, .. } = *self.product;
        let (row, step) = if transpose_a { (1, m) } else { (k, 1) };
        let from = self.a.as_ptr().wrapping_add(rows.start * row + ks.start * step);
        let scattered = if transpose_a { m > 32 } else { k.is_multiple_of(256) && k >= PACK_K };
        if uses < PACK_USES || !scattered {
            return (from, row, step);
        }
        let width = self.padded(rows.len());
        // SAFETY: the buffers are the caller's; only an address is made.
        let to = unsafe { (&raw mut (*self.buffers).a).cast::<f32>() };
        let panel =
            Panel { from, stride: row.max(step), columns: rows.len(), k: ks.len(), width, to };
        let pack = if transpose_a { self.kernels.pack } else { self.kernels.pack_transposed };
        // SAFETY: rows and k are inside A, and the buffer has room for K_BLOCK times MAX_ROWS.
        unsafe { pack(&panel) };
        (to, 1, width)
    }

    /// Rows times a chunk of columns, over a block of k.
    fn multiply(
        &self,
        rows: &Range<usize>,
        chunk: &Range<usize>,
        ks: &Range<usize>,
        c: &mut TileMut<'_>,
    ) {
        let kernels = self.kernels;
        let (a, a_row, a_k) = self.block_of_a(rows, ks, chunk.len().div_ceil(kernels.width()));
        for panel in self.panels(chunk) {
            let width = self.padded(panel.len());
            let (b, b_row) = if self.in_place(&panel) {
                (
                    self.b.as_ptr().wrapping_add(ks.start * self.product.n + panel.start),
                    self.product.n,
                )
            } else {
                (self.packed(chunk, &panel, ks).cast_const(), width)
            };
            let block = Block {
                k: ks.len(),
                a,
                a_row,
                a_k,
                b,
                b_row,
                c: c.as_mut_ptr().wrapping_add(panel.start - chunk.start),
                c_row: c.stride(),
                columns: panel.len(),
                accumulate: self.product.accumulate || ks.start > 0,
            };
            // SAFETY: rows, columns and k are inside A, B and C, or packed in the buffers.
            unsafe { kernels.multiply[rows.len() - 1][width / kernels.lanes - 1](&block) };
        }
    }
}

/// Multiply-adds of some ten microseconds.
const SMALL: usize = 1 << 19;
/// Multiply-adds of some milliseconds.
const LARGE: usize = 1 << 28;
/// Columns of a tile are a multiple of this: panels of every instruction set fit.
const MIN_COLUMNS: usize = 32;
/// A tile has no fewer rows, unless C has.
const MIN_ROWS: usize = 64;

/// Most rows of a block, padded.
const MAX_ROWS: usize = 16;
const PACK_K: usize = 1024;
const PACK_USES: usize = 2;

/// Packed panels of B, packed rows of A.
#[repr(C, align(64))]
struct Buffers {
    b: [f32; K_BLOCK * CHUNK],
    a: [f32; K_BLOCK * MAX_ROWS],
}
