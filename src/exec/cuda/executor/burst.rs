//! Several steps without the host: rows that are on the device, control blocks sent ahead, results
//! gathered behind. `kernels/burst.cu` is the twin.
//!
//! Two bursts may be under way, so that the device finds the next one when it has ended one. Each
//! has its own half of pinned memory; what lies on the device is used by one burst after the other,
//! as their stream orders them.

use std::any::Any;

use super::columns::{Columns, Staged};
use super::{
    Address, CudaExecutor, Event, Graph, Loaded, Memory, Pinned, Prepared, Replay, Stream, Use,
};
use crate::error::DeviceError;
use crate::exec::{Fill, Holding, Part, PlanId, QUEUE, Resident, SENT};
use crate::op::Live;
use crate::op::launch::{Kernel, Launch};
use crate::plan::{ALIGNMENT, Plan};
use crate::random::Permutation;

/// Steps of the larger of the two graphs that a burst is made of.
const STRIDE: usize = 8;

/// What a plan needs for bursts.
#[derive(Default)]
pub(super) struct Burst {
    /// Made for the columns.
    pub(super) ready: Option<Ready>,
    pub(super) columns: Columns,
}

impl Burst {
    fn split(&mut self) -> (&mut Ready, &Columns) {
        let ready = self.ready.as_mut().expect("invariant: the device holds the data");
        (ready, &self.columns)
    }

    /// Bytes on the device.
    pub(super) fn bytes(&self) -> usize {
        let beside = self.ready.as_ref().map_or(0, |r| r.results + 4 * QUEUE * r.width);
        self.columns.bytes() + beside
    }

    /// Forgets what was queued or sent, once nothing of it is under way any more.
    fn forget(&mut self, stream: &Stream) -> Result<(), DeviceError> {
        let Some(ready) = &mut self.ready else { return Ok(()) };
        let ended = self.columns.synchronize().and(stream.synchronize());
        ready.collected = ready.sent;
        ready.halves.iter_mut().for_each(Half::clear);
        ended
    }
}

pub(super) struct Ready {
    /// Of [`STRIDE`] steps and of one, captured when they are first needed.
    graphs: [Option<Graph>; 2],
    /// Comes before each step, and after the last.
    turn: Prepared,
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
    /// As on the device: what stands before the results is copied there.
    memory: Pinned,
    /// Steps that are queued or sent, and their rows.
    steps: usize,
    rows: usize,
    /// What its rows are copied from.
    part: Option<Box<Staged>>,
    /// Passes when the results are here.
    ended: Event,
}

impl Half {
    fn clear(&mut self) {
        (self.steps, self.rows, self.part) = (0, 0, None);
    }

    /// `Cursor` of `kernels/burst.cu`: the first of the queued steps.
    fn set_cursor(&mut self) {
        let cursor = [0, self.steps as u32, 0].map(u32::to_ne_bytes);
        self.memory.bytes_mut(12).copy_from_slice(cursor.as_flattened());
    }
}

impl Ready {
    fn at(&self, byte: usize) -> Address {
        self.memory.address() + byte as Address
    }

    /// Queues the burst whose control blocks are in its half, and before it the copy of its rows.
    fn send(
        &mut self,
        stream: &Stream,
        columns: &Columns,
        steps: &[Vec<Prepared>],
        (block, replay): (usize, Replay),
    ) -> Result<(), DeviceError> {
        self.halves[self.sent % SENT].set_cursor();
        let half = &self.halves[self.sent % SENT];
        let count = half.steps;
        if let Some(part) = &half.part {
            columns.copy(stream, self.sent % SENT, half.rows, part)?;
        }
        stream.upload_pinned(self.at(0), &half.memory, ALIGNMENT + count * block)?;
        let once = |_| {
            let all = std::iter::once(&self.turn).chain(steps.iter().flatten());
            all.into_iter().try_for_each(|launch| stream.launch(launch))
        };
        if replay == Replay::Steps {
            (0..count).try_for_each(once)?;
        } else {
            let turns = [(count / STRIDE, STRIDE), (count % STRIDE, 1)];
            for ((turns, steps), graph) in turns.into_iter().zip(&mut self.graphs) {
                if turns == 0 {
                    continue;
                }
                let graph = match graph {
                    Some(captured) => captured,
                    none => none.insert(stream.capture(|| (0..steps).try_for_each(once))?),
                };
                (0..turns).try_for_each(|_| stream.replay(graph))?;
            }
        }
        stream.launch(&self.turn)?;
        let from = self.at(self.results);
        let half = &mut self.halves[self.sent % SENT];
        let to = self.results..self.results + 4 * count * self.width;
        stream.download_pinned(from, &mut half.memory, to)?;
        half.ended.record(stream)?;
        self.sent += 1;
        Ok(())
    }
}

/// What bursts need on the device beside columns, for control blocks of so many bytes: the first byte
/// of the results, and the bytes of all.
pub(super) fn beside(plan: &Plan, block: usize) -> (usize, usize) {
    let results = ALIGNMENT + (QUEUE * block).next_multiple_of(ALIGNMENT);
    (results, results + 4 * QUEUE * (plan.losses.len() + 1))
}

impl CudaExecutor {
    /// Memory, kernels and graphs for a plan whose columns are there.
    pub(super) fn make_ready(&mut self, id: PlanId) -> Result<Ready, DeviceError> {
        let (block, plan) = (self.control.bytes.len(), self.plans[id.0].plan.clone());
        let width = plan.losses.len() + 1;
        let (results, bytes) = beside(&plan, block);
        let memory = Memory::zeroed(&self.context, &self.stream, &[(Use::Bursts, bytes)])?;
        let half = || {
            let memory = Pinned::new(&self.context, bytes)?;
            let ended = Event::new(&self.context)?;
            Ok(Half { memory, steps: 0, rows: 0, part: None, ended })
        };
        let halves = [half()?, half()?];
        let at = |byte: usize| memory.address() + byte as Address;
        let halted = self.layout.halted.expect("invariant: a plan that trains can be halted");
        let arena = self.plans[id.0].memory.address();
        let control = self.lasting.address() + self.control.start as Address;
        let mut addresses = vec![at(ALIGNMENT), at(0), control, at(results)];
        addresses.push(self.address(&plan, arena, halted));
        addresses.extend(plan.losses.iter().map(|(_, loss)| self.address(&plan, arena, *loss)));
        for (_, feed) in &plan.feeds {
            let column = self.plans[id.0].burst.columns.address(*feed);
            addresses.extend([column, self.address(&plan, arena, *feed)]);
        }
        let turn = turn(&plan, block);
        self.load_kernels(std::iter::once(&turn))?;
        let turn = self.prepare(&turn, addresses)?;
        let graphs = [None, None];
        Ok(Ready { graphs, turn, memory, results, width, halves, sent: 0, collected: 0 })
    }
}

/// What comes between two steps whose control blocks have this many bytes. Each feed's rows are picked
/// by blocks of its own, each of which takes some 4,096 words.
fn turn(plan: &Plan, block: usize) -> Launch {
    let (mut parameters, mut feeds, mut blocks) = (String::new(), String::new(), 0);
    let losses = plan.losses.len();
    for i in 0..losses {
        parameters.push_str(&format!(", const float* loss{i}\n"));
    }
    for (i, (_, feed)) in plan.feeds.iter().enumerate() {
        let width = plan.graph.ty(*feed).shape.elements(1);
        let rows = (4096 / width.max(1)).clamp(1, 256);
        let parts = plan.capacity.div_ceil(rows);
        let (piece, pieces) =
            if width.is_multiple_of(4) { ("Vector4", width / 4) } else { ("u32", width) };
        parameters.push_str(&format!(", const {piece}* column{i}, {piece}* feed{i}\n"));
        feeds.push_str(&format!(
            "        if (part < {parts}) \
             pick<{rows}, {pieces}>(live, column{i}, feed{i}, part, places);\n        \
             part -= {parts};\n"
        ));
        blocks += parts;
    }
    let copies: Vec<_> = (0..losses).map(|i| format!("        row[{i}] = loss{i}[0];")).collect();
    let kernel = Kernel::new("burst")
        .constant("WORDS", block / 4)
        .constant("RESULTS", losses + 1)
        .printed("parameters", parameters)
        .printed("losses", copies.join("\n"))
        .printed("feeds", feeds);
    let grid = [blocks.max(1) as u32, 1, 1];
    Launch { kernel, entry: "turn", grid, threads: 256, shared: 0, arguments: vec![] }
}

impl Resident for CudaExecutor {
    fn hold(&mut self, id: PlanId, rows: usize, parts: bool) -> Result<Holding, DeviceError> {
        self.context.enter()?;
        self.plans[id.0].burst.forget(&self.stream)?;
        self.hold_columns(id, rows, parts)
    }

    fn fill(&mut self, id: PlanId, rows: usize, fill: &mut Fill<'_>) -> crate::Result<()> {
        self.context.enter()?;
        self.plans[id.0].burst.columns.upload(&self.stream, rows, fill)
    }

    fn queue(&mut self, id: PlanId, live: &Live, first: u64, order: Option<&Permutation>) {
        let (ready, columns) = self.plans[id.0].burst.split();
        assert!(ready.sent - ready.collected < SENT, "invariant: few bursts are under way");
        let half = &mut ready.halves[ready.sent % SENT];
        assert!(half.steps < QUEUE, "invariant: a burst has at most QUEUE steps");
        match columns.part(ready.sent % SENT) {
            Some(part) => self.control.set_live(live, (part + half.rows) as u64, None),
            None => self.control.set_live(live, first, order),
        }
        let block = &self.control.bytes;
        let end = ALIGNMENT + (half.steps + 1) * block.len();
        half.memory.bytes_mut(end)[end - block.len()..].copy_from_slice(block);
        half.steps += 1;
        half.rows += live.rows;
    }

    fn send(&mut self, id: PlanId, part: Option<Box<dyn Part>>) -> Result<(), DeviceError> {
        self.context.enter()?;
        let Loaded { plan, burst, steps, .. } = &mut self.plans[id.0];
        let (ready, columns) = burst.split();
        let (half, steps) = (ready.sent % SENT, &steps[..plan.update.end]);
        ready.halves[half].part = part.map(|part| {
            (part as Box<dyn Any>).downcast().expect("invariant: a part is sent where it was made")
        });
        let how = (self.control.bytes.len(), self.replay);
        ready.send(&self.stream, columns, steps, how).inspect_err(|_| {
            // What it did queue must not read that half when it is filled anew.
            let _ = columns.synchronize().and(self.stream.synchronize());
            ready.halves[half].clear();
        })
    }

    fn collect(
        &mut self,
        id: PlanId,
        results: &mut Vec<f32>,
    ) -> Result<Option<Box<dyn Part>>, DeviceError> {
        self.context.enter()?;
        let burst = &mut self.plans[id.0].burst;
        let (ready, _) = burst.split();
        assert!(ready.collected < ready.sent, "invariant: what is collected was sent");
        let half = &mut ready.halves[ready.collected % SENT];
        if let Err(error) = half.ended.wait() {
            let _ = burst.forget(&self.stream);
            return Err(error);
        }
        results.clear();
        let end = ready.results + 4 * half.steps * ready.width;
        let (floats, _) = half.memory.bytes(end)[ready.results..].as_chunks();
        results.extend(floats.iter().map(|bytes| f32::from_ne_bytes(*bytes)));
        let part = half.part.take();
        half.clear();
        ready.collected += 1;
        Ok(part.map(|part| part as Box<dyn Part>))
    }
}
