//! Where plans run.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use super::Executor;
use super::cpu::{CpuExecutor, default_threads};
use super::cuda::{self, Card, CardEnergy, CudaExecutor, Replay};
use crate::error::DeviceError;
use crate::plan::Lasting;

/// A device, and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    kind: Kind,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Cpu(NonZeroUsize),
    Cuda(Card, Replay),
}

impl Device {
    /// The CPU, with as many threads as `IRONWARP_THREADS` says or the system grants.
    pub fn cpu() -> Device {
        Device { kind: Kind::Cpu(default_threads()), reason: "asked for".into() }
    }

    /// The first NVIDIA GPU if it can be used, else the CPU; [`Device::reason`] says why.
    ///
    /// # Errors
    /// None now; a machine may be found unusable in time.
    pub fn auto() -> Result<Device, DeviceError> {
        Ok(match Device::cuda(0) {
            Ok(device) => {
                Device { reason: "the first GPU, and all it needs is there".into(), ..device }
            }
            Err(error) => Device { reason: error.to_string(), ..Device::cpu() },
        })
    }

    /// The NVIDIA GPU of this index.
    ///
    /// # Errors
    /// If the driver, NVRTC or the card is missing, or they do not fit together; the text says what
    /// to do.
    pub fn cuda(index: usize) -> Result<Device, DeviceError> {
        let kind = Kind::Cuda(cuda::card(index)?, Replay::Graph);
        Ok(Device { kind, reason: "asked for".into() })
    }

    /// The same with this number of CPU threads, which changes no result. A GPU has no use for it.
    pub fn threads(self, threads: NonZeroUsize) -> Device {
        match self.kind {
            Kind::Cpu(_) => Device { kind: Kind::Cpu(threads), ..self },
            Kind::Cuda(..) => self,
        }
    }

    /// The same, a GPU getting its work in this way, which changes no result.
    pub fn replay(self, replay: Replay) -> Device {
        match self.kind {
            Kind::Cpu(_) => self,
            Kind::Cuda(card, _) => Device { kind: Kind::Cuda(card, replay), ..self },
        }
    }

    /// Whether it is the CPU.
    pub fn is_cpu(&self) -> bool {
        matches!(self.kind, Kind::Cpu(_))
    }

    /// What a GPU uses of energy from now on; none of the CPU.
    ///
    /// # Errors
    /// If the card does not tell.
    pub fn card_energy(&self) -> Option<Result<CardEnergy, DeviceError>> {
        match &self.kind {
            Kind::Cpu(_) => None,
            Kind::Cuda(card, _) => Some(CardEnergy::of(card.index)),
        }
    }

    /// Why the device was chosen.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    pub(crate) fn executor(&self, lasting: &Lasting) -> Result<Box<dyn Executor>, DeviceError> {
        Ok(match &self.kind {
            Kind::Cpu(threads) => Box::new(CpuExecutor::new(lasting, *threads)?),
            Kind::Cuda(card, replay) => Box::new(CudaExecutor::new(lasting, card.index, *replay)?),
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Cpu(threads) => {
                let plural = if threads.get() == 1 { "" } else { "s" };
                let set = crate::cpu::gemm::instruction_set();
                write!(f, "cpu ({threads} thread{plural}, {set})")
            }
            Kind::Cuda(card, _) => {
                let (major, minor) = card.capability;
                let gibibytes = card.memory as f64 / f64::from(1 << 30);
                write!(
                    f,
                    "cuda:{} ({}, sm_{major}{minor}, {gibibytes:.0} GiB)",
                    card.index, card.name
                )
            }
        }
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
