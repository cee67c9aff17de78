//! The executor that runs plans on a card.
//!
//! Everything is made in `load`: memory, compiled kernels, and a graph of each range that a run can
//! ask for. A run then sends the control block (the rows in use, seed, step and the trainer's
//! scalars) in one copy and replays a graph. Work is queued; only reading waits for it.

mod burst;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use burst::Burst;

use super::compile::{Compiler, KernelSource};
use super::debug::{self, Times};
use super::driver::{Address, Context, Event, Function, Graph, Memory, Pinned, Prepared, Stream};
use crate::error::DeviceError;
use crate::exec::{Executor, FeedMut, PlanId, Resident};
use crate::op::launch::{Argument, Kernel, Launch, Target};
use crate::op::{BufferId, Live, Role, Step};
use crate::plan::{ALIGNMENT, Lasting, Plan};
use crate::random::Permutation;
use crate::tensor::DType;

/// Bytes of the control block's part that every kernel may read: `Live` of `kernels/prelude.cuh`.
const LIVE: usize = 88;

/// How the steps of a run are queued. The bits are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// As one captured graph.
    Graph,
    /// One launch after the other.
    Steps,
}

/// Runs plans on one device.
pub struct CudaExecutor {
    plans: Vec<Loaded>,
    control: Control,
    lasting: Memory,
    offsets: Vec<usize>,
    layout: Lasting,
    functions: HashMap<(Kernel, &'static str), Function>,
    compiler: Compiler,
    replay: Replay,
    // Last, so that it is waited for after all that it uses has been given back by its users.
    stream: Stream,
    context: Arc<Context>,
}

/// The trainer's scalars and `Live`, side by side on the host as on the device.
struct Control {
    /// First byte of it in lasting memory.
    start: usize,
    bytes: Vec<u8>,
}

/// A plan on the device.
struct Loaded {
    plan: Arc<Plan>,
    graphs: Vec<(Range<usize>, Graph)>,
    burst: Burst,
    /// Launches of each step.
    steps: Vec<Vec<Prepared>>,
    /// Where steps are timed.
    times: Option<Times>,
    /// The plan's arena, then scratch memory, then tickets.
    memory: Memory,
    feeds: HashMap<BufferId, Staging>,
}

/// Host memory that a feed passes through: one half is filled while the other is copied.
struct Staging {
    halves: [(Pinned, Event); 2],
    next: usize,
}

impl CudaExecutor {
    /// An executor on the device of this index whose lasting memory is laid out so, zeroed.
    ///
    /// # Errors
    /// If driver, NVRTC or device can't be used, or memory is short.
    pub fn new(lasting: &Lasting, index: usize, replay: Replay) -> Result<Self, DeviceError> {
        let (card, compiler) = super::card_and_compiler(index)?;
        let compiler = compiler.cached();
        let context = Context::open(&card)?;
        context.enter()?;
        let stream = Stream::new(&context)?;
        let control = lasting
            .graph
            .buffers
            .iter()
            .position(|b| b.role == Role::Control && b.within.is_none())
            .map_or(lasting.bytes, |i| lasting.offsets[i]);
        let memory = Memory::zeroed(&context, &stream, lasting.bytes + ALIGNMENT)?;
        Ok(CudaExecutor {
            plans: vec![],
            control: Control { start: control, bytes: vec![0; lasting.bytes - control + LIVE] },
            lasting: memory,
            offsets: lasting.offsets.clone(),
            layout: lasting.clone(),
            functions: HashMap::new(),
            compiler,
            replay,
            stream,
            context,
        })
    }

    fn is_control(&self, buffer: BufferId) -> bool {
        self.layout.graph.buffer(buffer).role == Role::Control
    }

    /// Compiles and loads the kernels that are not there yet.
    fn load_kernels<'a>(
        &mut self,
        launches: impl Iterator<Item = &'a Launch>,
    ) -> Result<(), DeviceError> {
        let mut wanted: Vec<(&Kernel, Vec<&'static str>)> = Vec::new();
        for launch in launches {
            if self.functions.contains_key(&(launch.kernel.clone(), launch.entry)) {
                continue;
            }
            match wanted.iter_mut().find(|(kernel, _)| **kernel == launch.kernel) {
                Some((_, entries)) if entries.contains(&launch.entry) => {}
                Some((_, entries)) => entries.push(launch.entry),
                None => wanted.push((&launch.kernel, vec![launch.entry])),
            }
        }
        let sources: Vec<_> = wanted.iter().map(|(k, _)| KernelSource::from(*k)).collect();
        for ((kernel, entries), code) in wanted.iter().zip(self.compiler.compile_all(&sources)?) {
            let loaded = Function::load(&self.context, &code, entries)?;
            for (entry, function) in entries.iter().zip(loaded) {
                self.functions.insert(((*kernel).clone(), entry), function);
            }
        }
        Ok(())
    }

    /// A launch of a loaded kernel on these addresses.
    fn prepare(&self, launch: &Launch, arguments: Vec<Address>) -> Result<Prepared, DeviceError> {
        let function = self.functions[&(launch.kernel.clone(), launch.entry)].clone();
        if launch.shared > 48 << 10 {
            function.allow_shared(&self.context, launch.shared)?;
        }
        let Launch { grid, threads, shared, .. } = *launch;
        Ok(Prepared { function, grid, threads, shared, arguments })
    }

    /// The addresses of a launch's arguments.
    fn addresses(
        &self,
        plan: &Plan,
        step: &Step,
        launch: &Launch,
        memory: &PlanMemory,
    ) -> Vec<Address> {
        let buffer = |id: BufferId| self.address(plan, memory.arena, id);
        let address = |argument: &Argument| match *argument {
            Argument::Live => self.live(),
            Argument::Input(i) => buffer(step.inputs[i]),
            Argument::Output(i) => buffer(step.outputs[i]),
            Argument::Scratch(byte) => memory.scratch + byte as Address,
            Argument::Tickets => memory.tickets,
        };
        launch.arguments.iter().map(address).collect()
    }

    /// Where `Live` lies.
    fn live(&self) -> Address {
        self.lasting.address() + self.layout.bytes as Address
    }

    fn address(&self, plan: &Plan, arena: Address, buffer: BufferId) -> Address {
        let root = plan.graph.buffer(plan.graph.root(buffer).0).role;
        let base = if root.is_lasting() { self.lasting.address() } else { arena };
        base + plan.offsets[buffer.index()] as Address
    }

    /// Captures the ranges that a run asks for.
    fn capture(&self, plan: &Plan, steps: &[Vec<Prepared>]) -> Result<Graphs, DeviceError> {
        let mut ranges = vec![plan.forward.clone(), 0..plan.backward.end, 0..plan.update.end];
        ranges.dedup();
        ranges.retain(|range| self.replay == Replay::Graph && !range.is_empty());
        let capture = |range: Range<usize>| {
            let queue = || self.launch_all(&steps[range.clone()]);
            Ok((range.clone(), self.stream.capture(queue)?))
        };
        ranges.into_iter().map(capture).collect()
    }

    fn launch_all(&self, steps: &[Vec<Prepared>]) -> Result<(), DeviceError> {
        steps.iter().flatten().try_for_each(|launch| self.stream.launch(launch))
    }
}

type Graphs = Vec<(Range<usize>, Graph)>;

/// Addresses of a plan's own memory.
struct PlanMemory {
    arena: Address,
    scratch: Address,
    tickets: Address,
}

impl Staging {
    fn new(context: &Arc<Context>, bytes: usize) -> Result<Staging, DeviceError> {
        let half = || Ok((Pinned::new(context, bytes)?, Event::new(context)?));
        Ok(Staging { halves: [half()?, half()?], next: 0 })
    }
}

impl Executor for CudaExecutor {
    fn resident(&mut self) -> Option<&mut dyn Resident> {
        (!debug::times_steps()).then_some(self)
    }

    fn load(&mut self, plan: Arc<Plan>) -> Result<PlanId, DeviceError> {
        self.context.enter()?;
        let target = Target { capability: self.context.capability() };
        let launches = plan.graph.steps.iter().map(|step| {
            let types = plan.graph.call_types(step);
            step.op.launches(&types, plan.capacity, &target).ok_or_else(|| DeviceError::NoForm {
                device: self.context.name().into(),
                layer: step.layer.clone(),
                op: step.op.name().into(),
            })
        });
        let launches = launches.collect::<Result<Vec<_>, _>>()?;
        self.load_kernels(launches.iter().flat_map(|launches| &launches.list))?;
        let scratch = launches.iter().map(|l| l.scratch).max().unwrap_or(0);
        let tickets = launches.iter().map(|l| l.tickets).max().unwrap_or(0);
        let arena = plan.bytes.next_multiple_of(ALIGNMENT);
        let scratch_end = arena + scratch.next_multiple_of(ALIGNMENT);
        let memory = Memory::zeroed(&self.context, &self.stream, scratch_end + 4 * tickets)?;
        let places = PlanMemory {
            arena: memory.address(),
            scratch: memory.address() + arena as Address,
            tickets: memory.address() + scratch_end as Address,
        };
        let steps = plan.graph.steps.iter().zip(&launches).map(|(step, launches)| {
            let prepare = |launch: &Launch| {
                self.prepare(launch, self.addresses(&plan, step, launch, &places))
            };
            launches.list.iter().map(prepare).collect()
        });
        let steps = steps.collect::<Result<Vec<Vec<_>>, _>>()?;
        let graphs = self.capture(&plan, &steps)?;
        let mut feeds = HashMap::new();
        for (_, buffer) in &plan.feeds {
            let bytes = plan.graph.ty(*buffer).bytes(plan.capacity);
            feeds.insert(*buffer, Staging::new(&self.context, bytes)?);
        }
        self.stream.synchronize()?;
        debug::show(&plan, &steps, scratch_end + 4 * tickets);
        let times = Times::new(&self.context, &plan)?;
        self.plans.push(Loaded {
            plan,
            graphs,
            times,
            burst: Burst::default(),
            steps,
            memory,
            feeds,
        });
        Ok(PlanId(self.plans.len() - 1))
    }

    fn write(&mut self, buffer: BufferId, elements: &[f32]) -> Result<(), DeviceError> {
        let offset = self.offsets[buffer.index()];
        if self.is_control(buffer) {
            let first = offset - self.control.start;
            for (place, x) in self.control.bytes[first..].chunks_exact_mut(4).zip(elements) {
                place.copy_from_slice(&x.to_ne_bytes());
            }
            return Ok(());
        }
        self.context.enter()?;
        self.stream.upload(self.lasting.address() + offset as Address, elements)
    }

    fn read(&self, buffer: BufferId, elements: &mut [f32]) -> Result<(), DeviceError> {
        let offset = self.offsets[buffer.index()];
        if self.is_control(buffer) {
            let first = offset - self.control.start;
            for (x, bytes) in elements.iter_mut().zip(self.control.bytes[first..].chunks_exact(4)) {
                *x = f32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
            return Ok(());
        }
        self.context.enter()?;
        self.stream.download(self.lasting.address() + offset as Address, elements)
    }

    fn feed(
        &mut self,
        plan: PlanId,
        buffer: BufferId,
        rows: usize,
        fill: &mut dyn FnMut(FeedMut<'_>),
    ) -> Result<(), DeviceError> {
        self.context.enter()?;
        let loaded = &mut self.plans[plan.0];
        assert!(rows <= loaded.plan.capacity, "invariant: the trainer keeps to the capacity");
        let ty = loaded.plan.graph.ty(buffer);
        let count = ty.shape.elements(rows);
        let to = loaded.memory.address() + loaded.plan.offsets[buffer.index()] as Address;
        let staging = loaded.feeds.get_mut(&buffer).expect("invariant: `buffer` is a feed");
        staging.next ^= 1;
        let (pinned, copied) = &mut staging.halves[staging.next];
        copied.wait()?;
        match ty.dtype {
            DType::U32 => {
                fill(FeedMut::U32(pinned.integers(count)));
                self.stream.upload_pinned(to, pinned, 4 * count)?;
            }
            _ => {
                fill(FeedMut::F32(pinned.floats(count)));
                self.stream.upload_pinned(to, pinned, 4 * count)?;
            }
        }
        copied.record(&self.stream)
    }

    fn run(&mut self, plan: PlanId, steps: Range<usize>, live: &Live) -> Result<(), DeviceError> {
        self.context.enter()?;
        let loaded = &mut self.plans[plan.0];
        assert!(live.rows <= loaded.plan.capacity, "invariant: the trainer keeps to the capacity");
        self.control.set_live(live, 0, None);
        let to = self.lasting.address() + self.control.start as Address;
        self.stream.upload(to, &self.control.bytes)?;
        if let Some(times) = &mut loaded.times {
            return times.run(&self.stream, &loaded.steps, steps);
        }
        match loaded.graphs.iter().find(|(range, _)| *range == steps) {
            Some((_, graph)) => self.stream.replay(graph),
            None => self.launch_all(&self.plans[plan.0].steps[steps]),
        }
    }

    fn wait(&mut self) -> Result<(), DeviceError> {
        self.context.enter()?;
        self.stream.synchronize()
    }

    fn fetch(
        &self,
        plan: PlanId,
        buffer: BufferId,
        rows: usize,
        elements: &mut [f32],
    ) -> Result<(), DeviceError> {
        self.context.enter()?;
        let loaded = &self.plans[plan.0];
        debug_assert_eq!(elements.len(), loaded.plan.graph.ty(buffer).shape.elements(rows));
        let from = self.address(&loaded.plan, loaded.memory.address(), buffer);
        self.stream.download(from, elements)
    }
}

impl Control {
    fn set_live(&mut self, live: &Live, first: u64, order: Option<&Permutation>) {
        let rows = u32::try_from(live.rows).expect("invariant: a plan's sizes fit its kernels");
        let (half, keys) = order.map_or((0, &[][..]), Permutation::parts);
        let total = order.map_or(0, Permutation::rows);
        let longs = [live.seed, live.step].map(u64::to_ne_bytes);
        let words = [rows, half].map(u32::to_ne_bytes);
        let selection = [first, total].map(u64::to_ne_bytes);
        let at = self.bytes.len() - LIVE;
        let all = longs.as_flattened().iter().chain(words.as_flattened());
        let all = all.chain(selection.as_flattened()).copied();
        let all = all.chain(keys.iter().flat_map(|key| key.to_ne_bytes()));
        self.bytes[at..].iter_mut().zip(all).for_each(|(place, byte)| *place = byte);
    }
}

impl Drop for CudaExecutor {
    fn drop(&mut self) {
        let _ = self.context.enter();
        // Nothing may be freed under work that still uses it.
        let _ = self.stream.synchronize();
    }
}
