//! The executor that walks a plan on the CPU.

pub mod team;
