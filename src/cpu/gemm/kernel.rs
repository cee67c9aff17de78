//! The micro-kernels: the inner loops of the matrix product, once for all instruction sets.

#![allow(unsafe_code)]

use std::hint::black_box;

use super::lanes::{Lanes, Portable};
#[cfg(target_arch = "x86_64")]
use super::x86::{Avx2, Avx512};

/// Vectors side by side in a block of C, at most.
pub(super) const VECTORS: usize = 2;

/// A block of C, at most [`Kernels::rows`] by [`Kernels::width`], and what it is made of.
/// Element (i, p) of A is `a[i * a_row + p * a_k]`, element (p, j) of B is `b[p * b_row + j]`.
#[derive(Clone, Copy)]
pub(super) struct Block {
    pub(super) k: usize,
    pub(super) a: *const f32,
    pub(super) a_row: usize,
    pub(super) a_k: usize,
    pub(super) b: *const f32,
    pub(super) b_row: usize,
    pub(super) c: *mut f32,
    pub(super) c_row: usize,
    /// Columns of C; B is read up to the next multiple of the vector's width.
    pub(super) columns: usize,
    /// Whether the sums begin with what is in C.
    pub(super) accumulate: bool,
}

/// Columns of B to be laid out as `[k][width]`; what fills the places left over at
/// the end of each row is not defined, but is there.
#[derive(Clone, Copy)]
pub(super) struct Panel {
    pub(super) from: *const f32,
    /// Stride of the source, between its k (plain) or its columns (transposed).
    pub(super) stride: usize,
    pub(super) columns: usize,
    pub(super) k: usize,
    /// `columns` rounded up to whole vectors.
    pub(super) width: usize,
    pub(super) to: *mut f32,
}

/// Floats in a cache line.
const LINE: usize = 16;

/// C's block is A times B, k ascending, every element with an accumulator of its own.
type Multiply = unsafe fn(&Block);
type Pack = unsafe fn(&Panel);

/// The functions of one instruction set.
///
/// # Safety
/// To call a function, the CPU must have the instruction set, which [`Kernels::available`] checks,
/// and all elements that its argument describes must be valid, those of C and `to` for writes.
pub(super) struct Kernels {
    /// What messages call the instruction set.
    pub(super) name: &'static str,
    /// Floats in a vector.
    pub(super) lanes: usize,
    /// One row of A by [`Kernels::width`] columns of B stored `[n, k]`, `b_row` being their stride.
    pub(super) multiply_row: Multiply,
    /// Indexed by the number of rows less 1, and of vectors less 1.
    pub(super) multiply: &'static [[Multiply; VECTORS]],
    /// Packs B stored `[k, n]`.
    pub(super) pack: Pack,
    /// Packs B stored `[n, k]`.
    pub(super) pack_transposed: Pack,
}

impl Kernels {
    /// Most rows of a block.
    pub(super) fn rows(&self) -> usize {
        self.multiply.len()
    }

    /// Most columns of a block.
    pub(super) fn width(&self) -> usize {
        self.lanes * VECTORS
    }

    /// What this CPU can run, the fastest first.
    pub(super) fn available() -> impl Iterator<Item = &'static Kernels> {
        #[cfg(target_arch = "x86_64")]
        let fast = {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let avx512 = avx2 && is_x86_feature_detected!("avx512f");
            [avx512.then_some(&AVX512), avx2.then_some(&AVX2)]
        };
        #[cfg(not(target_arch = "x86_64"))]
        let fast = [];
        fast.into_iter().flatten().chain([&PORTABLE])
    }
}

#[inline(always)]
unsafe fn multiply<V: Lanes, const ROWS: usize, const N: usize>(block: &Block) {
    let Block { k, mut a, a_row, a_k, mut b, b_row, c, c_row, columns, accumulate } = *block;
    // SAFETY: all accesses are to elements that `block` describes; see `Kernels`.
    unsafe {
        let full = columns == N * V::WIDTH;
        let last = V::first(columns - (N - 1) * V::WIDTH);
        let mut sums = [[V::splat(0.0); N]; ROWS];
        if accumulate {
            for (i, sums) in sums.iter_mut().enumerate() {
                let c = c.add(i * c_row);
                for (j, sum) in sums.iter_mut().enumerate() {
                    let c = c.add(j * V::WIDTH);
                    *sum = if full || j + 1 < N { V::load(c) } else { V::load_first(c, last) };
                }
            }
        }
        for _ in 0..k {
            let mut row = [V::splat(0.0); N];
            for (j, vector) in row.iter_mut().enumerate() {
                *vector = V::load(b.add(j * V::WIDTH));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let factor = V::splat(*a.add(i * a_row));
                for (j, sum) in sums.iter_mut().enumerate() {
                    *sum = row[j].mul_add(factor, *sum);
                }
            }
            a = a.wrapping_add(a_k);
            b = b.wrapping_add(b_row);
        }
        for (i, sums) in sums.iter().enumerate() {
            let c = c.add(i * c_row);
            for (j, sum) in sums.iter().enumerate() {
                let c = c.add(j * V::WIDTH);
                if full || j + 1 < N { sum.store(c) } else { sum.store_first(c, last) }
            }
        }
    }
}

#[inline(always)]
unsafe fn multiply_row<V: Lanes, const N: usize>(block: &Block) {
    let Block { k, a, a_k, b, b_row, c, accumulate, .. } = *block;
    let whole = k - k % 4;
    // SAFETY: all accesses are to elements that `block` describes; see `Kernels`.
    unsafe {
        let mut sums = [V::splat(0.0); N];
        if accumulate {
            for (j, sum) in sums.iter_mut().enumerate() {
                *sum = V::load(c.add(j * V::WIDTH));
            }
        }
        // Opaque, or else the compiler keeps an address for every row and spills most of them.
        let mut groups = [b; N];
        for (j, group) in groups.iter_mut().enumerate() {
            *group = black_box(b.wrapping_add(j * V::WIDTH * b_row));
        }
        // A cache line of each row at a time: more rows than the cache has ways may collide.
        for line in (0..whole).step_by(LINE) {
            for (sum, &group) in sums.iter_mut().zip(&groups) {
                for p in (line..whole.min(line + LINE)).step_by(4) {
                    let columns = V::load_columns(|j| group.wrapping_add(j * b_row + p));
                    for (i, column) in columns.into_iter().enumerate() {
                        *sum = column.mul_add(V::splat(*a.add((p + i) * a_k)), *sum);
                    }
                }
            }
        }
        for (j, sum) in sums.into_iter().enumerate() {
            sum.store(c.add(j * V::WIDTH));
        }
        for p in whole..k {
            for j in 0..N * V::WIDTH {
                let sum = c.add(j);
                *sum = (*a.add(p * a_k)).mul_add(*b.add(j * b_row + p), *sum);
            }
        }
    }
}

#[inline(always)]
unsafe fn pack<V: Lanes>(panel: &Panel) {
    let Panel { mut from, stride, columns, k, width, mut to } = *panel;
    let full = columns - columns % V::WIDTH;
    // SAFETY: all accesses are to elements that `panel` describes; see `Kernels`.
    unsafe {
        for _ in 0..k {
            for j in (0..full).step_by(V::WIDTH) {
                V::load(from.add(j)).store(to.add(j));
            }
            if full < columns {
                V::load_first(from.add(full), V::first(columns - full)).store(to.add(full));
            }
            from = from.wrapping_add(stride);
            to = to.wrapping_add(width);
        }
    }
}

#[inline(always)]
unsafe fn pack_transposed<V: Lanes>(panel: &Panel) {
    let Panel { from, stride, columns, k, width, to } = *panel;
    for first in (0..width).step_by(V::WIDTH) {
        let to = to.wrapping_add(first);
        // SAFETY: all accesses are to elements that `panel` describes; see `Kernels`.
        unsafe {
            if first + V::WIDTH <= columns {
                let from = from.add(first * stride);
                transpose::<V>(k, |j| from.wrapping_add(j * stride), to, width);
            } else {
                // Past the last column it is repeated.
                let row = |j: usize| from.wrapping_add((first + j).min(columns - 1) * stride);
                transpose::<V>(k, row, to, width);
            }
        }
    }
}

/// Lays out `k` elements of `V::WIDTH` rows as columns.
#[inline(always)]
unsafe fn transpose<V: Lanes>(
    k: usize,
    row: impl Fn(usize) -> *const f32,
    to: *mut f32,
    width: usize,
) {
    let whole = k - k % 4;
    // SAFETY: the caller's promise is the same.
    unsafe {
        for p in (0..whole).step_by(4) {
            let [x, y, z, w] = V::load_columns(|j| row(j).wrapping_add(p));
            let to = to.add(p * width);
            x.store(to);
            y.store(to.add(width));
            z.store(to.add(2 * width));
            w.store(to.add(3 * width));
        }
        for p in whole..k {
            for j in 0..V::WIDTH {
                *to.add(p * width + j) = *row(j).add(p);
            }
        }
    }
}

/// Instantiates the functions above with an instruction set switched on.
macro_rules! kernels {
    ($name:literal, $lanes:ident, $transpose:ident, $module:ident, $constant:ident,
     [$($rows:literal)*] $(, #[$feature:meta])?) => {
        mod $module {
            use super::*;
            $(#[$feature])?
            unsafe fn multiply<const ROWS: usize, const N: usize>(block: &Block) {
                // SAFETY: the caller's promise is the same.
                unsafe { super::multiply::<$lanes, ROWS, N>(block) }
            }
            $(#[$feature])?
            unsafe fn multiply_row(block: &Block) {
                // SAFETY: the caller's promise is the same.
                unsafe { super::multiply_row::<$transpose, ROW_VECTORS>(block) }
            }
            $(#[$feature])?
            unsafe fn pack(panel: &Panel) {
                // SAFETY: the caller's promise is the same.
                unsafe { super::pack::<$lanes>(panel) }
            }
            $(#[$feature])?
            unsafe fn pack_transposed(panel: &Panel) {
                // SAFETY: the caller's promise is the same.
                unsafe { super::pack_transposed::<$transpose>(panel) }
            }
            const ROW_VECTORS: usize = VECTORS * $lanes::WIDTH / $transpose::WIDTH;
            pub(super) static KERNELS: Kernels = Kernels {
                name: $name,
                lanes: $lanes::WIDTH,
                multiply_row,
                multiply: &[$([multiply::<$rows, 1>, multiply::<$rows, 2>]),*],
                pack,
                pack_transposed,
            };
        }
        use $module::KERNELS as $constant;
    };
}

// Rows times vectors are as many accumulators as leave registers for a row of B and a factor.
kernels!("portable", Portable, Portable, portable, PORTABLE, [1 2 3 4]);
#[cfg(target_arch = "x86_64")]
kernels!("AVX2", Avx2, Avx2, avx2, AVX2, [1 2 3 4 5 6], #[target_feature(enable = "avx2,fma")]);
#[cfg(target_arch = "x86_64")]
kernels!(
    "AVX-512", Avx512, Avx2, avx512, AVX512, [1 2 3 4 5 6 7 8 9 10 11 12],
    #[target_feature(enable = "avx512f,avx2,fma")]
);
