//! What is known of the machine's NVIDIA driver. The executor that runs plans on a card is not
//! there yet, so the answer always says why the CPU is used.

mod cache;
mod compile;
mod driver;
mod executor;
mod library;
mod nvrtc;
mod places;

pub use executor::{CudaExecutor, Replay};

/// Why no CUDA device can be used now.
pub(super) fn unavailable() -> &'static str {
    if driver_is_present() {
        "an NVIDIA driver was found, but this version trains on the CPU alone; use `Device::cpu()`"
    } else {
        "no NVIDIA driver (libcuda.so.1) was found, and this version trains on the CPU alone; \
         use `Device::cpu()`"
    }
}

#[allow(unsafe_code)]
fn driver_is_present() -> bool {
    // SAFETY: loads the driver library if it is there and nothing else; the handle is kept.
    unsafe { cudarc::driver::sys::is_culib_present() }
}
