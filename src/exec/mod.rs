//! Executors: they walk a plan's steps and know ops only through their trait.

pub mod cpu;
pub mod cuda;
mod device;
pub mod reference;

pub use cuda::doctor;
pub use device::Device;

use std::ops::Range;
use std::sync::Arc;

use crate::error::DeviceError;
use crate::op::{BufferId, Live};
use crate::plan::Plan;
use crate::random::Permutation;

/// Where the elements of one feed are written, rows in use only.
pub enum FeedMut<'a> {
    /// Single-precision floats.
    F32(&'a mut [f32]),
    /// Unsigned integers.
    U32(&'a mut [u32]),
}

/// Handle of a plan that an executor has loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanId(pub(crate) usize);

/// Steps that [`Resident::queue`] takes before they are collected.
pub const QUEUE: usize = 64;

/// An executor that can hold the data and train many steps without the host.
pub trait Resident {
    /// Copies all rows of a feed's column to the device; `fill` writes some of them. False if there
    /// is no room.
    ///
    /// # Errors
    /// What `fill` returns, and the device's.
    fn hold(
        &mut self,
        plan: PlanId,
        buffer: BufferId,
        rows: usize,
        fill: &mut dyn FnMut(Range<usize>, FeedMut<'_>) -> crate::Result<()>,
    ) -> crate::Result<bool>;

    /// Queues a whole step with the scalars as they are written now, on the rows at places
    /// `first..first + live.rows` of the order, or of the data itself. All feeds must be held, and at
    /// most [`QUEUE`] steps be queued.
    fn queue(&mut self, plan: PlanId, live: &Live, first: u64, order: Option<&Permutation>);

    /// Runs what is queued and waits for it. Each step's results: its losses in the plan's order,
    /// then the halted flag.
    ///
    /// # Errors
    /// The device's.
    fn collect(&mut self, plan: PlanId, results: &mut Vec<f32>) -> Result<(), DeviceError>;
}

/// Owns lasting memory and walks plans. All plans of one executor share its lasting memory.
pub trait Executor: Send {
    /// Itself, if it can hold data.
    fn resident(&mut self) -> Option<&mut dyn Resident> {
        None
    }

    /// Prepares a plan: everything that allocates or compiles happens here.
    fn load(&mut self, plan: Arc<Plan>) -> Result<PlanId, DeviceError>;

    /// Writes a lasting buffer of floats.
    fn write(&mut self, buffer: BufferId, elements: &[f32]) -> Result<(), DeviceError>;

    /// Reads a lasting buffer of floats into `elements`.
    fn read(&self, buffer: BufferId, elements: &mut [f32]) -> Result<(), DeviceError>;

    /// Lets `fill` write a feed of a plan for `rows` rows.
    fn feed(
        &mut self,
        plan: PlanId,
        buffer: BufferId,
        rows: usize,
        fill: &mut dyn FnMut(FeedMut<'_>),
    ) -> Result<(), DeviceError>;

    /// Runs a range of a plan's steps. A device may still be at work when this returns; what fails
    /// then is reported by a later call.
    fn run(&mut self, plan: PlanId, steps: Range<usize>, live: &Live) -> Result<(), DeviceError>;

    /// Waits until all that was asked for is done.
    ///
    /// # Errors
    /// What failed since it was last waited for.
    fn wait(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }

    /// Reads a buffer of a plan for `rows` rows into `elements`; the step that wrote it must have
    /// been the last to use its place, which results always are.
    fn fetch(
        &self,
        plan: PlanId,
        buffer: BufferId,
        rows: usize,
        elements: &mut [f32],
    ) -> Result<(), DeviceError>;
}
