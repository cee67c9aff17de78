//! The executor that runs plans on a card.
//!
//! `load` makes memory and compiles kernels; a range's graph is captured when it is first run, and
//! host memory for a feed made when it is first fed. A run sends the control block (the rows in use,
//! seed, step and the trainer's scalars) in one copy and replays a graph. Work is queued; only
//! reading waits for it.

mod burst;
mod columns;
mod forms;
mod tune;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;
use std::sync::Arc;

use burst::Burst;
use forms::{Extent, PlanMemory};

use super::choices::Choices;
use super::compile::{Compiler, KernelSource};
use super::debug::{self, Times};
use super::driver::{
    Address, Context, Event, Function, Graph, Memory, Pinned, Prepared, Stream, Use,
};
use crate::error::DeviceError;
use crate::exec::{Executor, FeedMut, PlanId, Resident, Timing};
use crate::op::launch::{Kernel, Launch};
use crate::op::{BufferId, Live, Role};
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
    choices: Choices,
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
    /// Of the ranges that have been run.
    graphs: HashMap<Range<usize>, Graph>,
    burst: Burst,
    /// Launches of each step.
    steps: Vec<Vec<Prepared>>,
    /// What each step became, for the printed plan.
    notes: Vec<Vec<String>>,
    /// Where steps are timed.
    times: Option<Times>,
    /// The plan's arena, then scratch memory, then tickets.
    memory: Memory,
    places: PlanMemory,
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
        let bytes = lasting.bytes + ALIGNMENT;
        let memory = Memory::zeroed(&context, &stream, &[(Use::Lasting, bytes)])?;
        Ok(CudaExecutor {
            plans: vec![],
            control: Control { start: control, bytes: vec![0; lasting.bytes - control + LIVE] },
            lasting: memory,
            offsets: lasting.offsets.clone(),
            layout: lasting.clone(),
            functions: HashMap::new(),
            choices: Choices::new(&card, &compiler),
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

    /// Where `Live` lies.
    fn live(&self) -> Address {
        self.lasting.address() + self.layout.bytes as Address
    }

    fn address(&self, plan: &Plan, arena: Address, buffer: BufferId) -> Address {
        let root = plan.graph.buffer(plan.graph.root(buffer).0).role;
        let base = if root.is_lasting() { self.lasting.address() } else { arena };
        base + plan.offsets[buffer.index()] as Address
    }
}

fn launch_all(stream: &Stream, steps: &[Vec<Prepared>]) -> Result<(), DeviceError> {
    steps.iter().flatten().try_for_each(|launch| stream.launch(launch))
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
        let forms = self.forms(&plan)?;
        self.load_kernels(forms.iter().flat_map(|form| &form.launches.list))?;
        let extent = Extent::new(&plan, &forms);
        let memory = Memory::zeroed(&self.context, &self.stream, &extent.uses())?;
        let places = extent.places(memory.address());
        let steps = self.arrange(&plan, &forms, &places)?;
        self.stream.synchronize()?;
        let notes: Vec<_> = forms.iter().map(|form| form.notes()).collect();
        debug::show(&plan, &notes, extent.bytes());
        let times = Times::new(&self.context, &plan)?;
        self.plans.push(Loaded {
            plan,
            graphs: HashMap::new(),
            notes,
            times,
            burst: Burst::default(),
            steps,
            memory,
            places,
            feeds: HashMap::new(),
        });
        Ok(PlanId(self.plans.len() - 1))
    }

    fn bytes(&self, plan: &Plan) -> Option<u64> {
        let forms = self.forms(plan).ok()?;
        Some(Extent::new(plan, &forms).bytes() as u64)
    }

    fn memory(&self) -> Vec<(&'static str, u64)> {
        self.context.memory_by_use()
    }

    fn tune(&mut self, plan: PlanId, again: bool) -> Result<Vec<Timing>, DeviceError> {
        self.context.enter()?;
        self.tune_plan(plan, again)
    }

    fn notes(&self, plan: PlanId, step: usize) -> &[String] {
        &self.plans[plan.0].notes[step]
    }

    fn launches(&self, plan: PlanId, steps: Range<usize>) -> Option<usize> {
        Some(self.plans[plan.0].steps[steps].iter().map(Vec::len).sum())
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
        let staging = match loaded.feeds.entry(buffer) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => {
                place.insert(Staging::new(&self.context, ty.bytes(loaded.plan.capacity))?)
            }
        };
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
        let launches = &loaded.steps[steps.clone()];
        if self.replay == Replay::Steps || launches.is_empty() {
            return launch_all(&self.stream, launches);
        }
        let graph = match loaded.graphs.entry(steps) {
            Entry::Occupied(captured) => captured.into_mut(),
            Entry::Vacant(place) => {
                place.insert(self.stream.capture(|| launch_all(&self.stream, launches))?)
            }
        };
        self.stream.replay(graph)
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
    /// A control block without scalars.
    fn of(live: &Live) -> Control {
        let mut control = Control { start: 0, bytes: vec![0; LIVE] };
        control.set_live(live, 0, None);
        control
    }

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
        for loaded in &self.plans {
            let _ = loaded.burst.columns.synchronize();
        }
    }
}
