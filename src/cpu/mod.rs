//! Fast building blocks on the CPU.

pub mod gemm;
pub mod tile;
