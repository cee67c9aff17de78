//! Executors: they walk a plan's steps and know ops only through their trait.

pub mod cpu;
pub mod cuda;
mod device;
pub mod reference;

pub use cuda::doctor;
pub use device::Device;

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;

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

/// How long each form of a step took, all of which have the same bits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timing {
    /// Index of the step in its plan.
    pub step: usize,
    /// The form that an estimate chooses.
    pub estimated: String,
    /// The form that was fastest, and is run from now on.
    pub fastest: String,
    /// The median time of each form, in microseconds.
    pub microseconds: Vec<(String, f64)>,
    /// Whether later runs will know of it.
    pub remembered: bool,
}

impl Timing {
    /// The time of a form, in microseconds.
    pub fn of(&self, form: &str) -> Option<f64> {
        self.microseconds.iter().find(|(name, _)| name == form).map(|(_, time)| *time)
    }
}

/// Handle of a plan that an executor has loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanId(pub(crate) usize);

/// Most steps of a burst.
pub const QUEUE: usize = 64;

/// Most bursts that are sent and not collected.
pub const SENT: usize = 2;

/// Host memory for the rows of one burst, which the device copies.
pub trait Part: Any + Send {
    /// Where the first `rows` rows of a feed are written.
    fn feed(&mut self, feed: BufferId, rows: usize) -> FeedMut<'_>;
}

/// What a device holds of the data.
pub enum Holding {
    /// All rows.
    Whole,
    /// The rows of the bursts under way: each comes with its rows, in the order of their use, in one
    /// of these parts, and has at most so many steps.
    Parts {
        /// Most steps of a burst.
        steps: usize,
        /// As many as keep somebody who fills them busy.
        parts: Vec<Box<dyn Part>>,
    },
    /// There is no room; the plan is fed step by step.
    Nothing,
}

/// Writes some rows of a feed.
pub type Fill<'a> = dyn FnMut(BufferId, Range<usize>, FeedMut<'_>) -> crate::Result<()> + 'a;

/// An executor that can hold data and train many steps without the host.
pub trait Resident {
    /// Makes room for all rows that a plan reads, or, where they do not fit, for parts. Bursts that
    /// were not collected are forgotten. There are only parts where `parts` asks for them, as of rows
    /// that come in an order which the device can't compute.
    ///
    /// # Errors
    /// The device's.
    fn hold(&mut self, plan: PlanId, rows: usize, parts: bool) -> Result<Holding, DeviceError>;

    /// Lets `fill` write all rows, some of a feed at a time, where there is room for all.
    ///
    /// # Errors
    /// What `fill` returns, and the device's.
    fn fill(&mut self, plan: PlanId, rows: usize, fill: &mut Fill<'_>) -> crate::Result<()>;

    /// Adds a whole step to the next burst, with the scalars as they are written now, on the rows at
    /// places `first..first + live.rows` of the order, or of the data itself. The plan's data must be
    /// held, and fewer than [`SENT`] bursts be under way. A burst has at most [`QUEUE`] steps, or as
    /// many as a part has room for; with parts, its rows are those of the part that is sent.
    fn queue(&mut self, plan: PlanId, live: &Live, first: u64, order: Option<&Permutation>);

    /// Sends the burst, with its rows if the device holds parts, and does not wait for it.
    ///
    /// # Errors
    /// The device's; the burst is forgotten then, of which some steps may have run.
    fn send(&mut self, plan: PlanId, part: Option<Box<dyn Part>>) -> Result<(), DeviceError>;

    /// Waits for the oldest burst that was sent, and gives back its part. Each step's results: its
    /// losses in the plan's order, then the halted flag.
    ///
    /// # Errors
    /// The device's; all bursts that were sent are forgotten then.
    fn collect(
        &mut self,
        plan: PlanId,
        results: &mut Vec<f32>,
    ) -> Result<Option<Box<dyn Part>>, DeviceError>;
}

/// Owns lasting memory and walks plans. All plans of one executor share its lasting memory.
pub trait Executor: Send {
    /// Itself, if it can hold data.
    fn resident(&mut self) -> Option<&mut dyn Resident> {
        None
    }

    /// Prepares a plan: everything that allocates or compiles happens here.
    fn load(&mut self, plan: Arc<Plan>) -> Result<PlanId, DeviceError>;

    /// Bytes of the device's memory that `load` would take for a plan; none where the device has no
    /// memory of its own to run out of.
    fn bytes(&self, plan: &Plan) -> Option<u64> {
        let _ = plan;
        None
    }

    /// Bytes of the device's memory that are allocated now, by what they are for; empty where the
    /// device has no memory of its own.
    fn memory(&self) -> Vec<(&'static str, u64)> {
        vec![]
    }

    /// Measures the forms of a plan's steps where there are several, and runs the fastest from now
    /// on; remembers it for later runs. Steps with a choice that was measured before keep it, unless
    /// all are to be measured `again`. No result changes. Returns what was measured.
    fn tune(&mut self, plan: PlanId, again: bool) -> Result<Vec<Timing>, DeviceError> {
        let _ = (plan, again);
        Ok(vec![])
    }

    /// Lines for the printed plan: what a step became on the device.
    fn notes(&self, plan: PlanId, step: usize) -> &[String] {
        let _ = (plan, step);
        &[]
    }

    /// Kernels that one run of these steps launches; none where a device launches none.
    fn launches(&self, plan: PlanId, steps: Range<usize>) -> Option<usize> {
        let _ = (plan, steps);
        None
    }

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
