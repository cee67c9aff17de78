//! ironwarp trains neural networks.
pub mod cpu;
pub mod error;
pub mod exec;
pub mod op;
pub mod plan;
pub mod random;
pub mod tensor;
