//! Runs a function compiled for the best instruction set of this machine.
#![allow(unsafe_code)]

/// A computation to compile once per instruction set. Mark `run` `#[inline(always)]`, so that its
/// loops are compiled anew inside each of them.
pub trait Vectorised {
    /// Does the work.
    fn run(self);
}

/// Runs `work` with AVX-512, or with AVX2 and FMA, or as it is: whichever this machine has first.
pub fn dispatch(work: impl Vectorised) {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512bw")
        {
            // SAFETY: the features were found on this machine.
            return unsafe { avx512(work) };
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
        {
            // SAFETY: the features were found on this machine.
            return unsafe { avx2(work) };
        }
    }
    work.run();
}

/// Asks the memory for elements that are read soon; a hint without effect on any value.
#[inline(always)]
pub fn prefetch(elements: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    for line in (0..elements.len()).step_by(16) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 has the instruction, and it faults on no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(elements.as_ptr().wrapping_add(line).cast()) };
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
fn avx512(work: impl Vectorised) {
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(work: impl Vectorised) {
    work.run();
}
