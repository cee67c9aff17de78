//! Several steps without the host: data held on the device, control blocks sent ahead, results
//! gathered behind. `kernels/burst.cu` is the twin.
//!
//! Two bursts may be under way, so that the device finds the next one when it has ended one. Each
//! has its own half of pinned memory; what lies on the device is used by one burst after the other,
//! as their stream orders them.

use std::collections::HashMap;
use std::ops::Range;

use super::{
    Address, CudaExecutor, Event, Graph, Loaded, Memory, Pinned, Prepared, Replay, Stream,
};
use crate::error::DeviceError;
use crate::exec::{FeedMut, PlanId, QUEUE, Resident, SENT};
use crate::op::launch::{Kernel, Launch};
use crate::op::{BufferId, Live};
use crate::plan::{ALIGNMENT, Plan};
use crate::random::Permutation;
use crate::tensor::DType;

/// Steps of the larger of the two graphs that a burst is made of.
const STRIDE: usize = 8;
/// Bytes of a column that pass through host memory at once.
const PIECE: usize = 16 << 20;
/// Part of the free memory that a column may take.
const SHARE: f64 = 0.8;

/// What a plan needs for bursts.
#[derive(Default)]
pub(super) struct Burst {
    /// Columns of the feeds, with their bytes.
    columns: HashMap<BufferId, (Memory, usize)>,
    /// Made when all feeds are held.
    ready: Option<Ready>,
}

impl Burst {
    fn ready(&mut self) -> &mut Ready {
        self.ready.as_mut().expect("invariant: all feeds are held")
    }
}

struct Ready {
    graphs: Option<[Graph; 2]>,
    /// What comes before the plan's steps, and after them.
    around: [Vec<Prepared>; 2],
    /// A cursor in its first unit, then the table of control blocks, then the results.
    memory: Memory,
    /// First byte of the results.
    results: usize,
    /// Floats of one step's results.
    width: usize,
    /// Used in turn.
    halves: [Half; SENT],
    /// Bursts sent so far, and collected.
    sent: usize,
    collected: usize,
}

/// One burst's side of the host.
struct Half {
    /// What is copied to the device: the cursor, which is 0, then the control blocks.
    blocks: Pinned,
    results: Pinned,
    /// Steps that are queued or sent.
    steps: usize,
    /// Passes when the results are here.
    ended: Event,
}

impl Ready {
    fn at(&self, byte: usize) -> Address {
        self.memory.address() + byte as Address
    }

    /// Queues the burst whose control blocks are in its half.
    fn send(
        &mut self,
        stream: &Stream,
        steps: &[Vec<Prepared>],
        block: usize,
    ) -> Result<(), DeviceError> {
        let half = &self.halves[self.sent % SENT];
        let count = half.steps;
        stream.upload_pinned(self.at(0), &half.blocks, ALIGNMENT + count * block)?;
        match &self.graphs {
            Some([one, several]) => {
                (0..count / STRIDE).try_for_each(|_| stream.replay(several))?;
                (0..count % STRIDE).try_for_each(|_| stream.replay(one))?;
            }
            None => (0..count).try_for_each(|_| queue(stream, &self.around, steps))?,
        }
        let from = self.at(self.results);
        let half = &mut self.halves[self.sent % SENT];
        stream.download_pinned(from, &mut half.results, 4 * count * self.width)?;
        half.ended.record(stream)?;
        self.sent += 1;
        Ok(())
    }

    /// Forgets what was queued or sent, once nothing of it is under way any more.
    fn forget(&mut self, stream: &Stream) -> Result<(), DeviceError> {
        self.collected = self.sent;
        self.halves.iter_mut().for_each(|half| half.steps = 0);
        stream.synchronize()
    }
}

impl CudaExecutor {
    /// Memory, kernels and graphs for a plan whose feeds are all held.
    fn make_ready(&mut self, id: PlanId) -> Result<Ready, DeviceError> {
        let (block, plan) = (self.control.bytes.len(), self.plans[id.0].plan.clone());
        let width = plan.losses.len() + 1;
        let results = ALIGNMENT + (QUEUE * block).next_multiple_of(ALIGNMENT);
        let memory = Memory::zeroed(&self.context, &self.stream, results + 4 * QUEUE * width)?;
        let half = || {
            let blocks = Pinned::new(&self.context, results)?;
            let results = Pinned::new(&self.context, 4 * QUEUE * width)?;
            Ok(Half { blocks, results, steps: 0, ended: Event::new(&self.context)? })
        };
        let mut ready = Ready {
            graphs: None,
            around: [vec![], vec![]],
            memory,
            results,
            width,
            halves: [half()?, half()?],
            sent: 0,
            collected: 0,
        };
        let arena = self.plans[id.0].memory.address();
        let begin = Kernel::new("burst").constant("BEGIN", 1).constant("WORDS", block / 4);
        let block = self.lasting.address() + self.control.start as Address;
        let mut before =
            vec![(launch(begin, "begin", 1, 256), vec![ready.at(ALIGNMENT), ready.at(0), block])];
        for (_, feed) in &plan.feeds {
            let column = self.plans[id.0].burst.columns[feed].0.address();
            let addresses = vec![self.live(), column, self.address(&plan, arena, *feed)];
            before.push((pick(&plan, *feed), addresses));
        }
        let halted = self.layout.halted.expect("invariant: a plan that trains can be halted");
        let mut addresses = vec![ready.at(0), ready.at(results)];
        addresses.push(self.address(&plan, arena, halted));
        addresses.extend(plan.losses.iter().map(|(_, loss)| self.address(&plan, arena, *loss)));
        let after = vec![(launch(finish(width - 1), "finish", 1, 32), addresses)];
        self.load_kernels(before.iter().chain(&after).map(|(launch, _)| launch))?;
        ready.around = [self.prepare_all(&before)?, self.prepare_all(&after)?];
        if self.replay == Replay::Graph {
            let steps = &self.plans[id.0].steps[..plan.update.end];
            let capture = |count: usize| {
                let once = |_| queue(&self.stream, &ready.around, steps);
                self.stream.capture(|| (0..count).try_for_each(once))
            };
            ready.graphs = Some([capture(1)?, capture(STRIDE)?]);
        }
        Ok(ready)
    }

    fn prepare_all(
        &self,
        launches: &[(Launch, Vec<Address>)],
    ) -> Result<Vec<Prepared>, DeviceError> {
        let each = launches.iter();
        each.map(|(launch, addresses)| self.prepare(launch, addresses.clone())).collect()
    }
}

/// Queues one step.
fn queue(
    stream: &Stream,
    [before, after]: &[Vec<Prepared>; 2],
    steps: &[Vec<Prepared>],
) -> Result<(), DeviceError> {
    let all = before.iter().chain(steps.iter().flatten()).chain(after);
    all.into_iter().try_for_each(|launch| stream.launch(launch))
}

fn launch(kernel: Kernel, entry: &'static str, blocks: u32, threads: u32) -> Launch {
    Launch { kernel, entry, grid: [blocks, 1, 1], threads, shared: 0, arguments: vec![] }
}

/// Picks a feed's rows; a block takes some 4,096 words.
fn pick(plan: &Plan, feed: BufferId) -> Launch {
    let width = plan.graph.ty(feed).shape.elements(1);
    let rows = (4096 / width.max(1)).clamp(1, 256);
    let kernel = Kernel::new("burst")
        .constant("PICK", 1)
        .constant("WIDTH", width)
        .constant("BLOCK_ROWS", rows);
    launch(kernel, "pick", plan.capacity.div_ceil(rows) as u32, 256)
}

fn finish(losses: usize) -> Kernel {
    let parameters: Vec<_> = (0..losses).map(|i| format!("const float* loss{i}")).collect();
    let copies: Vec<_> = (0..losses).map(|i| format!("    row[{i}] = loss{i}[0];")).collect();
    Kernel::new("burst")
        .constant("RESULTS", losses + 1)
        .printed("losses", parameters.join(", "))
        .printed("copies", copies.join("\n"))
}

/// Copies all rows of a column, a piece at a time.
fn upload(
    stream: &Stream,
    to: Address,
    (rows, width, dtype): (usize, usize, DType),
    fill: &mut dyn FnMut(Range<usize>, FeedMut<'_>) -> crate::Result<()>,
) -> crate::Result<()> {
    let step = (PIECE / (4 * width.max(1))).max(1);
    let (mut floats, mut integers) = (vec![], vec![]);
    for start in (0..rows).step_by(step) {
        let range = start..rows.min(start + step);
        let (at, count) = (to + 4 * (start * width) as Address, range.len() * width);
        match dtype {
            DType::U32 => {
                integers.resize(count, 0);
                fill(range, FeedMut::U32(&mut integers))?;
                stream.upload(at, &integers)?;
            }
            _ => {
                floats.resize(count, 0.0);
                fill(range, FeedMut::F32(&mut floats))?;
                stream.upload(at, &floats)?;
            }
        }
    }
    Ok(())
}

impl Resident for CudaExecutor {
    fn hold(
        &mut self,
        id: PlanId,
        buffer: BufferId,
        rows: usize,
        fill: &mut dyn FnMut(Range<usize>, FeedMut<'_>) -> crate::Result<()>,
    ) -> crate::Result<bool> {
        self.context.enter()?;
        let loaded = &mut self.plans[id.0];
        if let Some(ready) = &mut loaded.burst.ready {
            ready.forget(&self.stream)?;
        }
        let ty = loaded.plan.graph.ty(buffer);
        let (width, dtype) = (ty.shape.elements(1), ty.dtype);
        let Some(bytes) = rows.checked_mul(4 * width) else { return Ok(false) };
        let held = loaded.burst.columns.remove(&buffer).filter(|(_, old)| *old == bytes);
        let column = match held {
            Some(column) => column,
            None => {
                loaded.burst.ready = None;
                if bytes as f64 > SHARE * self.context.free_memory()? as f64 {
                    return Ok(false);
                }
                (Memory::zeroed(&self.context, &self.stream, bytes)?, bytes)
            }
        };
        upload(&self.stream, column.0.address(), (rows, width, dtype), fill)?;
        loaded.burst.columns.insert(buffer, column);
        let all = loaded.burst.columns.len() == loaded.plan.feeds.len();
        if all && loaded.burst.ready.is_none() {
            let ready = self.make_ready(id)?;
            self.plans[id.0].burst.ready = Some(ready);
        }
        Ok(true)
    }

    fn queue(&mut self, id: PlanId, live: &Live, first: u64, order: Option<&Permutation>) {
        self.control.set_live(live, first, order);
        let block = &self.control.bytes;
        let ready = self.plans[id.0].burst.ready();
        assert!(ready.sent - ready.collected < SENT, "invariant: few bursts are under way");
        let half = &mut ready.halves[ready.sent % SENT];
        assert!(half.steps < QUEUE, "invariant: a burst has at most QUEUE steps");
        let end = ALIGNMENT + (half.steps + 1) * block.len();
        half.blocks.bytes_mut(end)[end - block.len()..].copy_from_slice(block);
        half.steps += 1;
    }

    fn send(&mut self, id: PlanId) -> Result<(), DeviceError> {
        self.context.enter()?;
        let Loaded { plan, burst, steps, .. } = &mut self.plans[id.0];
        let ready = burst.ready();
        let steps = &steps[..plan.update.end];
        ready.send(&self.stream, steps, self.control.bytes.len()).inspect_err(|_| {
            ready.halves[ready.sent % SENT].steps = 0;
            // What it did queue must not read that half when it is filled anew.
            let _ = self.stream.synchronize();
        })
    }

    fn collect(&mut self, id: PlanId, results: &mut Vec<f32>) -> Result<(), DeviceError> {
        self.context.enter()?;
        let ready = self.plans[id.0].burst.ready();
        assert!(ready.collected < ready.sent, "invariant: what is collected was sent");
        let half = &mut ready.halves[ready.collected % SENT];
        let ended = half.ended.wait();
        if ended.is_err() {
            let _ = ready.forget(&self.stream);
            return ended;
        }
        results.clear();
        results.extend_from_slice(half.results.floats(half.steps * ready.width));
        half.steps = 0;
        ready.collected += 1;
        Ok(())
    }
}
