//! ironwarp trains neural networks.
pub mod cpu;
pub mod data;
pub mod error;
pub mod exec;
pub mod file;
pub mod init;
pub mod layer;
pub mod loss;
pub mod metric;
pub mod model;
pub mod op;
pub mod optim;
pub mod plan;
pub mod prelude;
pub mod random;
pub mod tensor;
pub mod train;

pub use error::{Error, Result};
