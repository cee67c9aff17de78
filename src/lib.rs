//! ironwarp trains neural networks.
pub mod error;
pub mod tensor;
