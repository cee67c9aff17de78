//! Optimizers and learning rates.
pub mod schedule;
