//! ironwarp trains neural networks.
pub mod data;
pub mod error;
pub mod tensor;
