//! The driver's objects as owned values: each frees itself, and every failure names its call.
//!
//! A context is current per thread, so [`Context::enter`] begins whatever touches the device; whoever
//! gives the last of several values back has entered and waited for the stream, so that each of them
//! need not.
#![allow(unsafe_code)]

mod code;
mod memory;
mod stream;

use std::sync::Arc;

use cudarc::driver::{DriverError, result, sys};

pub(super) use code::{Function, Prepared};
pub(super) use memory::{Memory, Pinned, Use};
pub(super) use stream::{Event, Graph, Stream};

use super::Card;
use crate::error::DeviceError;

/// An address on the device.
pub(super) type Address = sys::CUdeviceptr;

/// One device with its primary context.
#[derive(Debug)]
pub(super) struct Context {
    raw: sys::CUcontext,
    device: sys::CUdevice,
    name: String,
    capability: (u32, u32),
    memory: memory::Register,
}

// SAFETY: the driver's handles may be used from any thread that has entered the context.
unsafe impl Send for Context {}
// SAFETY: as above; the driver locks what it shares.
unsafe impl Sync for Context {}

impl Context {
    /// Retains a card's primary context.
    pub(super) fn open(card: &Card) -> Result<Arc<Context>, DeviceError> {
        let name = format!("cuda:{}", card.index);
        explain(&name, "cuInit", result::init())?;
        let device = explain(&name, "cuDeviceGet", result::device::get(card.index as i32))?;
        // SAFETY: the driver gave this device; the context is released once, in `drop`.
        let retained = unsafe { result::primary_ctx::retain(device) };
        let raw = explain(&name, "cuDevicePrimaryCtxRetain", retained)?;
        let capability = card.capability;
        Ok(Arc::new(Context { raw, device, name, capability, memory: Default::default() }))
    }

    /// `cuda:0`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Compute capability.
    pub(super) fn capability(&self) -> (u32, u32) {
        self.capability
    }

    /// Makes it this thread's context.
    pub(super) fn enter(&self) -> Result<(), DeviceError> {
        // SAFETY: the context is retained until `drop`.
        self.check("cuCtxSetCurrent", unsafe { result::ctx::set_current(self.raw) })
    }

    /// Bytes of memory that nobody uses.
    pub(super) fn free_memory(&self) -> Result<usize, DeviceError> {
        Ok(self.check("cuMemGetInfo", result::mem_get_info())?.0)
    }

    /// Bytes of memory that are allocated, by what they are for.
    pub(super) fn memory_by_use(&self) -> Vec<(&'static str, u64)> {
        self.memory.by_use()
    }

    fn check<T>(
        &self,
        call: &'static str,
        result: Result<T, DriverError>,
    ) -> Result<T, DeviceError> {
        explain(&self.name, call, result)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained once, and everything made in it holds an `Arc` of it.
        let _ = unsafe { result::primary_ctx::release(self.device) };
    }
}

/// Whether an error ends the context: NVIDIA's header says of these that the process must end before
/// more work can be done. Beside them stand errors of one call alone, such as 221, a missing compiler
/// of PTX, or 701, a launch that asks for too much.
fn is_lasting(code: u32) -> bool {
    matches!(code, 214 | 220 | 226 | 700 | 702 | 709 | 710 | 714..=719 | 721)
}

/// A failed call as our error.
fn explain<T>(
    device: &str,
    call: &'static str,
    result: Result<T, DriverError>,
) -> Result<T, DeviceError> {
    result.map_err(|error| {
        let text = |found: Result<&std::ffi::CStr, DriverError>| {
            found.map_or("unknown".into(), |text| text.to_string_lossy().into_owned())
        };
        let code = error.0 as u32;
        let message =
            format!("{} ({code}): {}", text(error.error_name()), text(error.error_string()));
        let device = device.to_string();
        match is_lasting(code) {
            true => DeviceError::Lost { device, call, message },
            false => DeviceError::Driver { device, call, message },
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_is_lost_by_errors_that_last_and_not_by_those_of_one_call() {
        use sys::CUresult::*;
        for code in [
            CUDA_ERROR_ECC_UNCORRECTABLE,
            CUDA_ERROR_NVLINK_UNCORRECTABLE,
            CUDA_ERROR_ILLEGAL_ADDRESS,
            CUDA_ERROR_LAUNCH_TIMEOUT,
            CUDA_ERROR_CONTEXT_IS_DESTROYED,
            CUDA_ERROR_ASSERT,
            CUDA_ERROR_HARDWARE_STACK_ERROR,
            CUDA_ERROR_MISALIGNED_ADDRESS,
            CUDA_ERROR_LAUNCH_FAILED,
        ] {
            assert!(is_lasting(code as u32), "{code:?}");
        }
        for code in [
            CUDA_ERROR_INVALID_VALUE,
            CUDA_ERROR_INVALID_GRAPHICS_CONTEXT,
            CUDA_ERROR_JIT_COMPILER_NOT_FOUND,
            CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
            CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES,
            CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE,
            CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
            CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE,
        ] {
            assert!(!is_lasting(code as u32), "{code:?}");
        }
    }
}
