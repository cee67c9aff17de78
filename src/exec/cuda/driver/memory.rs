//! Memory of the device, and memory of the host that the device reads.
#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::{DriverError, result, sys};

use super::{Address, Context, Stream};
use crate::error::DeviceError;

/// What memory of the device is for, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::exec::cuda) enum Use {
    Lasting,
    Arena,
    Scratch,
    Rows,
    Parts,
    Bursts,
    Measurement,
}

impl Use {
    /// For people.
    fn text(self) -> &'static str {
        match self {
            Use::Lasting => "lasting: parameters, gradients, states, control block",
            Use::Arena => "arenas of the plans",
            Use::Scratch => "scratch memory of the plans",
            Use::Rows => "rows of the data, all of them",
            Use::Parts => "rows of the data, a ring of parts",
            Use::Bursts => "bursts: control blocks and results",
            Use::Measurement => "measurement",
        }
    }
}

/// All memory of a context that is allocated now.
#[derive(Debug, Default)]
pub(super) struct Register(Mutex<BTreeMap<Address, Vec<(Use, usize)>>>);

impl Register {
    /// Bytes of each use.
    pub(super) fn by_use(&self) -> Vec<(&'static str, u64)> {
        let mut sums = BTreeMap::new();
        for (each, bytes) in self.lock().values().flatten() {
            *sums.entry(*each).or_insert(0) += *bytes as u64;
        }
        sums.into_iter().map(|(each, bytes)| (each.text(), bytes)).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Address, Vec<(Use, usize)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Memory of the device.
#[derive(Debug)]
pub(in crate::exec::cuda) struct Memory {
    address: Address,
    /// Kept until the memory is freed.
    context: Arc<Context>,
}

impl Memory {
    /// Zeroed memory of so many bytes for each use, one behind the other.
    pub(in crate::exec::cuda) fn zeroed(
        context: &Arc<Context>,
        stream: &Stream,
        uses: &[(Use, usize)],
    ) -> Result<Memory, DeviceError> {
        let mut uses = uses.to_vec();
        if uses.iter().all(|(_, bytes)| *bytes == 0) {
            // The driver gives no memory of 0 bytes.
            uses[0].1 = 1;
        }
        let bytes = uses.iter().map(|(_, bytes)| bytes).sum();
        // SAFETY: freed once, in `drop`.
        let address = match unsafe { result::malloc_sync(bytes) } {
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                return Err(DeviceError::OutOfMemory {
                    device: context.name.clone(),
                    needed: bytes as u64,
                    free: context.free_memory().ok().map(|free| free as u64),
                    largest_batch: None,
                });
            }
            other => context.check("cuMemAlloc", other)?,
        };
        context.memory.lock().insert(address, uses);
        let memory = Memory { address, context: context.clone() };
        // SAFETY: the memory is that long and nobody else knows it yet.
        let set = unsafe { result::memset_d8_async(address, 0, bytes, stream.raw) };
        context.check("cuMemsetD8Async", set)?;
        Ok(memory)
    }

    /// Its address.
    pub(in crate::exec::cuda) fn address(&self) -> Address {
        self.address
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.context.memory.lock().remove(&self.address);
        // SAFETY: allocated once, freed once; `cuMemFree` waits for work that uses it.
        let _ = unsafe { result::free_sync(self.address) };
    }
}

/// Memory of the host that the device reads by itself.
#[derive(Debug)]
pub(in crate::exec::cuda) struct Pinned {
    start: *mut c_void,
    bytes: usize,
    /// Kept until the memory is freed.
    _context: Arc<Context>,
}

// SAFETY: plain memory, owned by this value.
unsafe impl Send for Pinned {}

impl Pinned {
    /// Zeroed memory.
    pub(in crate::exec::cuda) fn new(
        context: &Arc<Context>,
        bytes: usize,
    ) -> Result<Pinned, DeviceError> {
        let bytes = bytes.max(1);
        // SAFETY: freed once, in `drop`.
        let start = match unsafe { result::malloc_host(bytes, 0) } {
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                return Err(DeviceError::OutOfMemory {
                    device: format!("pinned memory of the host for {}", context.name),
                    needed: bytes as u64,
                    free: None,
                    largest_batch: None,
                });
            }
            other => context.check("cuMemHostAlloc", other)?,
        };
        // SAFETY: that many bytes were just allocated.
        unsafe { start.cast::<u8>().write_bytes(0, bytes) };
        Ok(Pinned { start, bytes, _context: context.clone() })
    }

    /// The first bytes.
    pub(in crate::exec::cuda) fn bytes(&self, count: usize) -> &[u8] {
        assert!(count <= self.bytes, "invariant: a feed fits its staging memory");
        // SAFETY: in bounds and initialised by `new`.
        unsafe { std::slice::from_raw_parts(self.start.cast(), count) }
    }

    /// The first bytes, to be written.
    pub(in crate::exec::cuda) fn bytes_mut(&mut self, count: usize) -> &mut [u8] {
        assert!(count <= self.bytes, "invariant: what is copied fits its pinned memory");
        // SAFETY: as in `bytes`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), count) }
    }

    /// The first elements, as floats.
    pub(in crate::exec::cuda) fn floats(&mut self, count: usize) -> &mut [f32] {
        assert!(4 * count <= self.bytes, "invariant: a feed fits its staging memory");
        // SAFETY: in bounds, aligned to a page, initialised by `new`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), count) }
    }

    /// The first elements, as integers.
    pub(in crate::exec::cuda) fn integers(&mut self, count: usize) -> &mut [u32] {
        assert!(4 * count <= self.bytes, "invariant: a feed fits its staging memory");
        // SAFETY: as in `floats`; any bits are integers.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), count) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated once, freed once; the executor waits for its stream first.
        let _ = unsafe { result::free_host(self.start) };
    }
}
