//! ironwarp trains neural networks.
pub mod error;
pub mod file;
pub mod tensor;
