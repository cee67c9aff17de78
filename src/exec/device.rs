//! Where plans run.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use super::cpu::{CpuExecutor, default_threads};
use super::{Executor, cuda};
use crate::error::DeviceError;
use crate::plan::Lasting;

/// A device, and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    threads: NonZeroUsize,
    reason: String,
}

impl Device {
    /// The CPU, with as many threads as `IRONWARP_THREADS` says or the system grants.
    pub fn cpu() -> Device {
        Device { threads: default_threads(), reason: "asked for".into() }
    }

    /// The fastest device there is.
    ///
    /// # Errors
    /// None now; a machine may be found unusable in time.
    pub fn auto() -> Result<Device, DeviceError> {
        Ok(Device { threads: default_threads(), reason: cuda::unavailable(0) })
    }

    /// The NVIDIA GPU of this index.
    ///
    /// # Errors
    /// Always, with the reason: this version has no CUDA executor.
    pub fn cuda(index: usize) -> Result<Device, DeviceError> {
        Err(DeviceError::Unusable {
            device: format!("cuda:{index}"),
            message: cuda::unavailable(index),
        })
    }

    /// The same with this number of threads, which changes no result.
    pub fn threads(self, threads: NonZeroUsize) -> Device {
        Device { threads, ..self }
    }

    /// Why the device was chosen.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn executor(&self, lasting: &Lasting) -> Result<Box<dyn Executor>, DeviceError> {
        Ok(Box::new(CpuExecutor::new(lasting, self.threads)?))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.threads.get() == 1 { "" } else { "s" };
        let set = crate::cpu::gemm::instruction_set();
        write!(f, "cpu ({} thread{plural}, {set})", self.threads)
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    /// `cpu`, `auto` or `cuda:N`.
    fn from_str(text: &str) -> Result<Device, DeviceError> {
        let index = text.strip_prefix("cuda:").and_then(|n| n.parse().ok());
        match (text, index) {
            ("cpu", _) => Ok(Device::cpu()),
            ("auto", _) => Device::auto(),
            ("cuda", _) => Device::cuda(0),
            (_, Some(index)) => Device::cuda(index),
            _ => Err(DeviceError::Unusable {
                device: text.into(),
                message: "expected `cpu`, `auto` or `cuda:N`".into(),
            }),
        }
    }
}
