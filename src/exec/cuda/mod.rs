//! Plans on an NVIDIA card: finding the libraries, compiling kernels, and the executor.

mod cache;
mod cards;
mod choices;
mod compile;
mod debug;
pub mod doctor;
mod driver;
mod executor;
mod library;
mod nvml;
mod nvrtc;
mod places;

pub use cards::Card;
pub use compile::compile_log;
pub use executor::{CudaExecutor, Replay};
pub use nvml::CardEnergy;

use crate::error::DeviceError;
use compile::Compiler;

/// The card of this index, if all that it needs is there and fits together.
pub(super) fn card(index: usize) -> Result<Card, DeviceError> {
    Ok(card_and_compiler(index)?.0)
}

fn card_and_compiler(index: usize) -> Result<(Card, Compiler), DeviceError> {
    cards::usable(index).map_err(|problem| DeviceError::Unusable {
        device: format!("cuda:{index}"),
        message: format!("{}; {}; `ironwarp doctor` tells more", problem.what, problem.fix),
    })
}
