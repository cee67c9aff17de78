//! Fast building blocks on the CPU.

pub mod gemm;
pub mod math;
pub mod simd;
pub mod tile;
