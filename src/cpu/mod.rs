//! Arithmetic for the CPU.
pub mod math;
