//! Fast building blocks on the CPU.

pub mod tile;
