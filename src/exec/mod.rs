//! Executors: they walk a plan.

pub mod cpu;
