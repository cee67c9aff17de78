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
//!     lay out B's panels, two vectors wide         // transposed if need be
//!     for block of rows:                           // A: 12 x 256 at most, where it is stored
//!         for panel: micro-kernel                  // C: 12 x 32 (AVX-512), in registers
//!         if this was the last block of k: epilogue
//! ```
//!
//! Two shortcuts: a panel that is used once, or lies in L1 anyway, is read where it is; a single
//! row times B stored `[n, k]` transposes B in registers.
//!
//! The trade-off not taken: panels packed once for all tasks, in memory of the caller. It would
//! cost a barrier before each product and save only the packing that several tasks repeat, which
//! tiles of many rows keep to a few per cent.

#![allow(unsafe_code)]

mod kernel;
mod lanes;
#[cfg(test)]
mod tests;
mod work;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

use self::kernel::Kernels;
use super::tile::TileMut;

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
    /// What an epilogue costs for each element of C, in multiply-adds: a product with much to do
    /// afterwards has more tiles.
    pub epilogue: usize,
}

/// Sees finished blocks of C while they are in the cache: first row, first column, the elements.
pub type Epilogue<'a> = &'a mut dyn FnMut(usize, usize, TileMut<'_>);

impl Gemm {
    /// Number of tiles that C is cut into; 0 if C is empty.
    pub fn tasks(&self) -> usize {
        let (rows, columns) = self.tile_size();
        self.m.div_ceil(rows) * self.n.div_ceil(columns)
    }

    /// Whether tasks that follow one another go down C, not across it. Threads take tasks that follow
    /// one another, so this decides which operand each of them needs the whole of: here the smaller
    /// one. A gradient with respect to weights always goes across, so that threads have whole rows of
    /// the weights where it has several rows of tiles, as the update after it does.
    pub fn down_first(&self) -> bool {
        !self.transpose_a && self.m < self.n
    }

    /// Rows and columns of one tile. The tiles of all tasks are disjoint and cover C.
    ///
    /// # Panics
    /// If there is no such task.
    pub fn tile(&self, task: usize) -> (Range<usize>, Range<usize>) {
        assert!(task < self.tasks(), "task {task} of {}", self.tasks());
        let (rows, columns) = self.tile_size();
        let (down, across) = (self.m.div_ceil(rows), self.n.div_ceil(columns));
        let (i, j) = if self.down_first() {
            (task % down, task / down)
        } else {
            (task / across, task % across)
        };
        let (row, column) = (i * rows, j * columns);
        (row..self.m.min(row + rows), column..self.n.min(column + columns))
    }

    /// Computes one tile; `c` is that tile of C. Then gives its elements to `epilogue`, each once.
    ///
    /// # Panics
    /// If `a` or `b` has fewer elements than the shape says, or `c` is not of the tile's size.
    pub fn compute(&self, task: usize, a: &[f32], b: &[f32], c: TileMut<'_>, epilogue: Epilogue) {
        self.compute_with(fastest(), task, a, b, c, epilogue);
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

    /// Rows and columns of a full tile. Tiles are tall, because each packs its part of B for itself,
    /// and narrow, so that there are enough.
    fn tile_size(&self) -> (usize, usize) {
        let (m, n) = (self.m.max(1), self.n.max(1));
        let products = m.saturating_mul(n).saturating_mul(self.k.saturating_add(self.epilogue));
        let read = self.k.saturating_mul(m.saturating_add(n)).saturating_mul(READ);
        let tasks = (products.saturating_add(read) / TASK).min(MANY);
        if tasks <= 1 {
            return (m, n);
        }
        let columns = n.div_ceil(tasks.min(n.div_ceil(32)).max(n.div_ceil(128)));
        let across = n.div_ceil(columns);
        let down = tasks.div_ceil(across).min(m.div_ceil(64)).max(m.div_ceil(512));
        // Whole vectors of 16, for every instruction set alike.
        (m.div_ceil(down), columns.next_multiple_of(16).max(32))
    }

    fn compute_with(
        &self,
        kernels: &Kernels,
        task: usize,
        a: &[f32],
        b: &[f32],
        c: TileMut<'_>,
        epilogue: Epilogue,
    ) {
        let (rows, columns) = self.tile(task);
        let holds = |x: &[f32], rows: usize| rows.checked_mul(self.k).is_some_and(|n| n <= x.len());
        assert!(holds(a, self.m), "A has only {} elements: {self:?}", a.len());
        assert!(holds(b, self.n), "B has only {} elements: {self:?}", b.len());
        assert_eq!((c.rows(), c.columns()), (rows.len(), columns.len()), "tile {task}: {self:?}");
        // SAFETY: A and B hold all that the shape says, and `c` is the task's tile.
        unsafe { work::walk(self, kernels, (rows, columns), [a, b], c, epilogue) };
    }
}

/// Name of the instruction set that products run on: "AVX-512", "AVX2" or "portable".
pub fn instruction_set() -> &'static str {
    fastest().name
}

fn fastest() -> &'static Kernels {
    Kernels::available().next().expect("invariant: the portable kernels run anywhere")
}

/// Multiply-adds of some ten microseconds: what a thread must have to do, or it costs more to move
/// the lines of memory that it needs and makes. Cores are far from each other on some machines.
const TASK: usize = 1 << 19;
/// Multiply-adds in the time in which an element is read and laid out; a product of few rows does
/// little else.
const READ: usize = 4;
/// Enough tasks for eight threads to end at about the same time.
const MANY: usize = 16;
