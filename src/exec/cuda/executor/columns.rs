//! The rows that bursts pick their batches from, on the device: all of the data, or, where it does
//! not fit, a ring of as many parts as bursts may be under way, each with the rows of one burst in
//! the order of their use.
//!
//! Copies into the ring have a stream of their own, so that a part is copied while the burst on the
//! other one runs. A burst waits for its copy by an event. A copy need not wait on the device: it is
//! queued only after the burst that used its part before was collected.

use std::collections::HashMap;
use std::sync::Arc;

use super::burst::{Burst, beside};
use super::{Address, Context, CudaExecutor, Event, Memory, Pinned, Stream, Use};
use crate::error::DeviceError;
use crate::exec::{FeedMut, Fill, Holding, Part, PlanId, QUEUE, SENT};
use crate::op::BufferId;
use crate::plan::Plan;
use crate::tensor::DType;

/// Bytes of a column that pass through host memory at once.
const PIECE: usize = 16 << 20;
/// Bytes of a part that are enough for copies to be efficient.
const PART: usize = 64 << 20;
/// Parts on the host: those of the bursts under way, and one that is filled meanwhile.
const PARTS: usize = SENT + 1;
/// Part of the free memory that columns, and what bursts need beside them, may take.
const SHARE: f64 = 0.8;

/// What is on the device.
#[derive(Default)]
pub(super) struct Columns {
    ring: Option<Ring>,
    feeds: Vec<Column>,
    /// Rows that there is room for.
    rows: usize,
}

struct Column {
    feed: BufferId,
    dtype: DType,
    /// Elements of a row, of four bytes each.
    width: usize,
    memory: Memory,
}

struct Ring {
    copies: Stream,
    /// Passes when the part that was sent last is on the device.
    copied: Event,
    /// Rows of a part.
    rows: usize,
}

impl Columns {
    fn new(
        context: &Arc<Context>,
        stream: &Stream,
        plan: &Plan,
        rows: usize,
        ring: bool,
    ) -> Result<Columns, DeviceError> {
        let held = if ring { Use::Parts } else { Use::Rows };
        let ring = match ring {
            true => {
                let (copies, copied) = (Stream::new(context)?, Event::new(context)?);
                Some(Ring { copies, copied, rows: rows / SENT })
            }
            false => None,
        };
        let feeds = plan.feeds.iter().map(|(_, feed)| {
            let ty = plan.graph.ty(*feed);
            let width = ty.shape.elements(1);
            let memory = Memory::zeroed(context, stream, &[(held, 4 * rows * width)])?;
            Ok(Column { feed: *feed, dtype: ty.dtype, width, memory })
        });
        let feeds = feeds.collect::<Result<_, DeviceError>>()?;
        // A copy into the ring must come after its zeros.
        stream.synchronize()?;
        Ok(Columns { ring, feeds, rows })
    }

    /// Bytes on the device.
    pub(super) fn bytes(&self) -> usize {
        self.feeds.iter().map(|column| 4 * self.rows * column.width).sum()
    }

    /// Where the column of a feed begins.
    pub(super) fn address(&self, feed: BufferId) -> Address {
        let found = self.feeds.iter().find(|column| column.feed == feed);
        found.expect("invariant: every feed has a column").memory.address()
    }

    /// The first row of a part; none where the device holds all rows.
    pub(super) fn part(&self, part: usize) -> Option<usize> {
        self.ring.as_ref().map(|ring| part * ring.rows)
    }

    /// Copies the first rows of what was filled into a part, and lets the stream wait for it.
    pub(super) fn copy(
        &self,
        stream: &Stream,
        part: usize,
        rows: usize,
        staged: &Staged,
    ) -> Result<(), DeviceError> {
        let Some(ring) = &self.ring else { return Ok(()) };
        assert!(rows <= ring.rows, "invariant: a part has room for a burst");
        for column in &self.feeds {
            let pinned = &staged.feeds[&column.feed].pinned;
            let to = column.memory.address() + (4 * part * ring.rows * column.width) as Address;
            ring.copies.upload_pinned(to, pinned, 4 * rows * column.width)?;
        }
        ring.copied.record(&ring.copies)?;
        stream.wait_for(&ring.copied)
    }

    /// Waits for all copies into the ring.
    pub(super) fn synchronize(&self) -> Result<(), DeviceError> {
        self.ring.as_ref().map_or(Ok(()), |ring| ring.copies.synchronize())
    }

    /// Copies all rows of all columns, a piece at a time.
    pub(super) fn upload(
        &self,
        stream: &Stream,
        rows: usize,
        fill: &mut Fill<'_>,
    ) -> crate::Result<()> {
        assert!(rows == self.rows && self.ring.is_none(), "invariant: all rows are held");
        let (mut floats, mut integers) = (vec![], vec![]);
        for Column { feed, dtype, width, memory } in &self.feeds {
            let step = (PIECE / (4 * width.max(&1))).max(1);
            for start in (0..rows).step_by(step) {
                let range = start..rows.min(start + step);
                let to = memory.address() + 4 * (start * width) as Address;
                let count = range.len() * width;
                match dtype {
                    DType::U32 => {
                        integers.resize(count, 0);
                        fill(*feed, range, FeedMut::U32(&mut integers))?;
                        stream.upload(to, &integers)?;
                    }
                    _ => {
                        floats.resize(count, 0.0);
                        fill(*feed, range, FeedMut::F32(&mut floats))?;
                        stream.upload(to, &floats)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A part on the host.
pub(super) struct Staged {
    feeds: HashMap<BufferId, StagedFeed>,
    context: Arc<Context>,
}

impl Drop for Staged {
    /// It may be dropped by any thread, and what it holds needs the context.
    fn drop(&mut self) {
        let _ = self.context.enter();
    }
}

struct StagedFeed {
    dtype: DType,
    width: usize,
    pinned: Pinned,
}

impl Staged {
    fn new(context: &Arc<Context>, columns: &Columns, rows: usize) -> Result<Staged, DeviceError> {
        let each = columns.feeds.iter().map(|&Column { feed, dtype, width, .. }| {
            let pinned = Pinned::new(context, 4 * rows * width)?;
            Ok((feed, StagedFeed { dtype, width, pinned }))
        });
        let feeds = each.collect::<Result<_, DeviceError>>()?;
        Ok(Staged { feeds, context: context.clone() })
    }
}

impl Part for Staged {
    fn feed(&mut self, feed: BufferId, rows: usize) -> FeedMut<'_> {
        let found = self.feeds.get_mut(&feed).expect("invariant: a part has all feeds");
        let count = rows * found.width;
        match found.dtype {
            DType::U32 => FeedMut::U32(found.pinned.integers(count)),
            _ => FeedMut::F32(found.pinned.floats(count)),
        }
    }
}

impl CudaExecutor {
    /// Room for all rows, or for a ring of parts, and what bursts need beside.
    pub(super) fn hold_columns(
        &mut self,
        id: PlanId,
        rows: usize,
        parts: bool,
    ) -> Result<Holding, DeviceError> {
        let plan = self.plans[id.0].plan.clone();
        let old = &self.plans[id.0].burst.columns;
        let row: usize =
            plan.feeds.iter().map(|(_, f)| 4 * plan.graph.ty(*f).shape.elements(1)).sum();
        let free = self.context.free_memory()? + self.plans[id.0].burst.bytes();
        let (_, beside) = beside(&plan, self.control.bytes.len());
        let room = ((SHARE * free as f64) as usize).saturating_sub(beside);
        let whole = !parts && rows.checked_mul(row).is_some_and(|bytes| bytes <= room);
        let steps = part_steps(rows, plan.capacity, row, room);
        if !whole && steps == 0 {
            self.plans[id.0].burst = Burst::default();
            return Ok(Holding::Nothing);
        }
        let wanted = if whole { rows } else { SENT * steps * plan.capacity };
        if old.rows != wanted || old.ring.is_some() == whole {
            // First give back, then ask.
            self.plans[id.0].burst = Burst::default();
            let columns = Columns::new(&self.context, &self.stream, &plan, wanted, !whole)?;
            self.plans[id.0].burst.columns = columns;
        }
        if self.plans[id.0].burst.ready.is_none() {
            let ready = self.make_ready(id)?;
            self.plans[id.0].burst.ready = Some(ready);
        }
        if whole {
            return Ok(Holding::Whole);
        }
        let columns = &self.plans[id.0].burst.columns;
        let part = || -> Result<Box<dyn Part>, DeviceError> {
            Ok(Box::new(Staged::new(&self.context, columns, steps * plan.capacity)?))
        };
        let parts = (0..PARTS).map(|_| part()).collect::<Result<_, _>>()?;
        Ok(Holding::Parts { steps, parts })
    }
}

/// Steps whose rows a part holds: as many as a burst has, if they are not many bytes, but one at
/// least; 0 where the device has no room for all parts of one step.
fn part_steps(rows: usize, capacity: usize, row: usize, room: usize) -> usize {
    let step = (capacity * row).max(1);
    let wanted = (PART / step).clamp(1, QUEUE).min(rows.div_ceil(capacity));
    wanted.min(room / (SENT * step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_one_burst_or_enough_bytes_and_fit() {
        let (rows, room) = (1 << 30, 8 << 30);
        assert_eq!(part_steps(rows, 32, 400, room), QUEUE, "small rows");
        assert_eq!(part_steps(rows, 1 << 20, 16, room), PART / (16 << 20), "large steps");
        assert_eq!(part_steps(rows, 1 << 20, 400, room), 1, "a step larger than a part");
        assert_eq!(part_steps(100, 32, 400, room), 4, "few rows");
        assert_eq!(part_steps(rows, 32, 400, 12_800 * 7), 3, "little room");
        assert_eq!(part_steps(rows, 32, 400, 12_800 * 2 - 1), 0, "no room");
    }
}
