//! The vectors of AVX2 with FMA, and of AVX-512.
//!
//! Every function here only wraps intrinsics of its instruction set, which [`Lanes`]' contract
//! promises, on pointers that it promises too: that is what the short SAFETY comments refer to.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::lanes::Lanes;

/// Eight floats: needs AVX2 and FMA.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256);

impl Lanes for Avx2 {
    const WIDTH: usize = 8;
    type Mask = __m256i;

    #[inline(always)]
    unsafe fn first(count: usize) -> __m256i {
        const ONES_THEN_ZEROS: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        debug_assert!(count <= 8);
        // SAFETY: AVX2; 8 of the 16 integers, from 8 - count on.
        unsafe { _mm256_loadu_si256(ONES_THEN_ZEROS.as_ptr().add(8 - count).cast()) }
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: AVX2.
        Avx2(unsafe { _mm256_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: AVX2; the caller's floats.
        Avx2(unsafe { _mm256_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, mask: __m256i) -> Self {
        // SAFETY: AVX2; the caller's floats, others are not read.
        Avx2(unsafe { _mm256_maskload_ps(from, mask) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: AVX2; the caller's floats.
        unsafe { _mm256_storeu_ps(to, self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, mask: __m256i) {
        // SAFETY: AVX2; the caller's floats, others are not written.
        unsafe { _mm256_maskstore_ps(to, mask, self.0) };
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: FMA.
        Avx2(unsafe { _mm256_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    unsafe fn load_columns(row: impl Fn(usize) -> *const f32) -> [Self; 4] {
        // SAFETY: AVX2; the caller's four floats of rows 0 to 7.
        unsafe {
            let a = two_rows(row(0), row(4));
            let b = two_rows(row(1), row(5));
            let c = two_rows(row(2), row(6));
            let d = two_rows(row(3), row(7));
            let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
            let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
            [
                Avx2(_mm256_shuffle_ps::<0x44>(ab, cd)),
                Avx2(_mm256_shuffle_ps::<0xee>(ab, cd)),
                Avx2(_mm256_shuffle_ps::<0x44>(ab_high, cd_high)),
                Avx2(_mm256_shuffle_ps::<0xee>(ab_high, cd_high)),
            ]
        }
    }
}

/// Sixteen floats: needs AVX-512 F.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

impl Lanes for Avx512 {
    const WIDTH: usize = 16;
    type Mask = __mmask16;

    #[inline(always)]
    unsafe fn first(count: usize) -> __mmask16 {
        u16::MAX >> (16 - count)
    }

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: AVX-512.
        Avx512(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: AVX-512; the caller's floats.
        Avx512(unsafe { _mm512_loadu_ps(from) })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, mask: __mmask16) -> Self {
        // SAFETY: AVX-512; the caller's floats, others are not read.
        Avx512(unsafe { _mm512_maskz_loadu_ps(mask, from) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: AVX-512; the caller's floats.
        unsafe { _mm512_storeu_ps(to, self.0) };
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, mask: __mmask16) {
        // SAFETY: AVX-512; the caller's floats, others are not written.
        unsafe { _mm512_mask_storeu_ps(to, mask, self.0) };
    }

    #[inline(always)]
    unsafe fn mul_add(self, factor: Self, addend: Self) -> Self {
        // SAFETY: AVX-512.
        Avx512(unsafe { _mm512_fmadd_ps(self.0, factor.0, addend.0) })
    }

    #[inline(always)]
    unsafe fn load_columns(row: impl Fn(usize) -> *const f32) -> [Self; 4] {
        // SAFETY: AVX-512; the caller's four floats of rows 0 to 15.
        unsafe {
            let a = four_rows([row(0), row(4), row(8), row(12)]);
            let b = four_rows([row(1), row(5), row(9), row(13)]);
            let c = four_rows([row(2), row(6), row(10), row(14)]);
            let d = four_rows([row(3), row(7), row(11), row(15)]);
            let (ab, cd) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
            let (ab_high, cd_high) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
            [
                Avx512(_mm512_shuffle_ps::<0x44>(ab, cd)),
                Avx512(_mm512_shuffle_ps::<0xee>(ab, cd)),
                Avx512(_mm512_shuffle_ps::<0x44>(ab_high, cd_high)),
                Avx512(_mm512_shuffle_ps::<0xee>(ab_high, cd_high)),
            ]
        }
    }
}

/// Four floats each of two rows.
#[inline(always)]
unsafe fn two_rows(low: *const f32, high: *const f32) -> __m256 {
    // SAFETY: AVX2; the caller's floats.
    unsafe {
        let x = _mm256_castps128_ps256(_mm_loadu_ps(low));
        _mm256_insertf128_ps::<1>(x, _mm_loadu_ps(high))
    }
}

/// Four floats each of four rows.
#[inline(always)]
unsafe fn four_rows(rows: [*const f32; 4]) -> __m512 {
    // SAFETY: AVX-512; the caller's floats.
    unsafe {
        let x = _mm512_castps128_ps512(_mm_loadu_ps(rows[0]));
        let x = _mm512_insertf32x4::<1>(x, _mm_loadu_ps(rows[1]));
        let x = _mm512_insertf32x4::<2>(x, _mm_loadu_ps(rows[2]));
        _mm512_insertf32x4::<3>(x, _mm_loadu_ps(rows[3]))
    }
}
