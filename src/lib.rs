//! ironwarp trains neural networks.
pub mod cpu;
pub mod error;
pub mod tensor;
