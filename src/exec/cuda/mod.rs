//! What is known of the machine's NVIDIA GPU. The executor that runs plans on a card is not there
//! yet, so the answer always says why the CPU is used.

mod cache;
mod cards;
mod compile;
pub mod doctor;
mod library;
mod nvrtc;
mod places;

/// Why this CUDA device can't be used now.
pub(super) fn unavailable(index: usize) -> String {
    match cards::usable(index) {
        Ok(card) => {
            format!("{} is there, but this version trains on the CPU alone", card.name)
        }
        Err(problem) => {
            format!("{}; {}; `ironwarp doctor` tells more", problem.what, problem.fix)
        }
    }
}
