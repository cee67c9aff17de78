//! ironwarp trains neural networks.
pub mod cpu;
pub mod error;
pub mod init;
pub mod metric;
pub mod optim;
pub mod random;
pub mod tensor;
