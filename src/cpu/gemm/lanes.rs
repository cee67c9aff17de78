//! Vectors of `f32`: the only part of the matrix product that knows an instruction set.

#![allow(unsafe_code)]

/// A register of `WIDTH` floats. A vector's lanes are different columns of C, never different k,
/// so its width can't change a result.
///
/// # Safety
/// Of all functions: the CPU must have the instruction set that the type stands for, and pointers
/// must be valid for the floats named.
pub(super) trait Lanes: Copy {
    /// Number of floats.
    const WIDTH: usize;
    /// Chooses the first lanes of a vector.
    type Mask: Copy;

    /// The first `count` lanes, 1 to `WIDTH`.
    unsafe fn first(count: usize) -> Self::Mask;
    /// `value` in all lanes.
    unsafe fn splat(value: f32) -> Self;
    /// Reads `WIDTH` floats.
    unsafe fn load(from: *const f32) -> Self;
    /// Reads the floats that `mask` chooses; the other lanes are 0.
    unsafe fn load_first(from: *const f32, mask: Self::Mask) -> Self;
    /// Writes `WIDTH` floats.
    unsafe fn store(self, to: *mut f32);
    /// Writes the floats that `mask` chooses.
    unsafe fn store_first(self, to: *mut f32, mask: Self::Mask);
    /// `self * factor + addend`, rounded once.
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self;
    /// Transposes four floats of each of `WIDTH` rows: lane j of vector i is `row(j)[i]`.
    unsafe fn load_columns(row: impl Fn(usize) -> *const f32) -> [Self; 4];
}

/// Eight floats on any CPU.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; 8]);

impl Lanes for Portable {
    const WIDTH: usize = 8;
    type Mask = usize;

    #[inline(always)]
    unsafe fn first(count: usize) -> usize {
        count
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Portable([value; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's floats; an array of floats has the alignment of a float.
        Portable(unsafe { *from.cast() })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 8];
        // SAFETY: the caller's `count` floats, at most 8.
        unsafe { from.copy_to_nonoverlapping(lanes.as_mut_ptr(), count) };
        Portable(lanes)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: as in `load`.
        unsafe { *to.cast() = self.0 };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        // SAFETY: as in `load_first`.
        unsafe { to.copy_from_nonoverlapping(self.0.as_ptr(), count) };
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        Portable(std::array::from_fn(|i| self.0[i].mul_add(factor.0[i], addend.0[i])))
    }

    #[inline(always)]
    unsafe fn load_columns(row: impl Fn(usize) -> *const f32) -> [Self; 4] {
        let mut columns = [Portable([0.0; 8]); 4];
        for j in 0..8 {
            for (i, column) in columns.iter_mut().enumerate() {
                // SAFETY: the caller's four floats of each of the first 8 rows.
                column.0[j] = unsafe { *row(j).add(i) };
            }
        }
        columns
    }
}
