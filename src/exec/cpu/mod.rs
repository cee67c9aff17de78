//! The executor that walks a plan on the CPU.
//!
//! One team of threads wakes per call of [`Executor::run`] and walks the list together; its members
//! share the tasks of each phase and meet where one needs what others made. Steps of one task are all
//! the caller's, and a walk that has no other wakes nobody. Nothing allocates after `load`.
#![allow(unsafe_code)]

mod memory;
pub mod team;
mod walk;

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;

use memory::{Arena, Memory, Prepared, View};
use team::{Team, Worker};

use super::{Executor, FeedMut, PlanId};
use crate::error::DeviceError;
use crate::op::{BufferId, Live, Step};
use crate::plan::{ALIGNMENT, Lasting, Plan};

/// Walks plans with a team of threads.
pub struct CpuExecutor {
    team: Team,
    lasting: Arena,
    places: Vec<View>,
    scratch: Arena,
    scratch_bytes: usize,
    thread_scratch: Arena,
    thread_bytes: usize,
    plans: Vec<Loaded>,
}

struct Loaded {
    plan: Arc<Plan>,
    arena: Arena,
    /// Of each buffer.
    views: Vec<View>,
    steps: Vec<Prepared>,
}

/// The number of threads to use: `IRONWARP_THREADS`, or what the system grants this process.
pub fn default_threads() -> NonZeroUsize {
    let asked = std::env::var("IRONWARP_THREADS").ok().and_then(|t| t.parse().ok());
    let granted = || std::thread::available_parallelism().ok();
    asked.or_else(granted).unwrap_or(NonZeroUsize::MIN)
}

impl CpuExecutor {
    /// An executor whose lasting memory is laid out so, zeroed.
    pub fn new(lasting: &Lasting, threads: NonZeroUsize) -> Result<Self, DeviceError> {
        let places = (0..lasting.graph.buffers.len())
            .map(|i| View {
                lasting: true,
                offset: lasting.offsets[i],
                ty: lasting.graph.buffers[i].ty.clone(),
            })
            .collect();
        Ok(CpuExecutor {
            team: Team::new(threads)?,
            lasting: Arena::new(lasting.bytes)?,
            places,
            scratch: Arena::new(0)?,
            scratch_bytes: 0,
            thread_scratch: Arena::new(0)?,
            thread_bytes: 0,
            plans: vec![],
        })
    }

    fn prepare(plan: &Plan, step: &Step) -> Prepared {
        let view = |id: &BufferId| view(plan, *id);
        Prepared {
            kernel: step.op.kernel(&plan.graph.call_types(step)),
            inputs: step.inputs.iter().map(view).collect(),
            outputs: step.outputs.iter().map(view).collect(),
            single: false,
            meets: true,
            tasks_of: None,
        }
    }

    /// Makes room for the scratch of these steps.
    fn grow_scratch(&mut self, steps: &[Prepared], capacity: usize) -> Result<(), DeviceError> {
        let shared = steps.iter().map(|s| 4 * s.kernel.scratch(capacity)).max().unwrap_or(0);
        if shared > self.scratch_bytes {
            self.scratch = Arena::new(shared)?;
            self.scratch_bytes = shared;
        }
        let own = steps.iter().map(|s| 4 * s.kernel.thread_scratch()).max().unwrap_or(0);
        let own = own.next_multiple_of(ALIGNMENT);
        if own > self.thread_bytes {
            self.thread_scratch = Arena::new(own * self.team.threads())?;
            self.thread_bytes = own;
        }
        Ok(())
    }
}

impl Executor for CpuExecutor {
    fn load(&mut self, plan: Arc<Plan>) -> Result<PlanId, DeviceError> {
        let arena = Arena::new(plan.bytes)?;
        let mut steps: Vec<_> =
            plan.graph.steps.iter().map(|step| Self::prepare(&plan, step)).collect();
        let live = Live { rows: plan.capacity, seed: 0, step: 0 };
        walk::plan(&mut steps, self.team.threads(), &live);
        self.grow_scratch(&steps, plan.capacity)?;
        let ids = (0..plan.graph.buffers.len()).map(|i| BufferId(i as u32));
        let views = ids.map(|id| view(&plan, id)).collect();
        self.plans.push(Loaded { plan, arena, views, steps });
        Ok(PlanId(self.plans.len() - 1))
    }

    fn write(&mut self, buffer: BufferId, elements: &[f32]) -> Result<(), DeviceError> {
        if let FeedMut::F32(target) = self.lasting.get_mut(&self.places[buffer.index()], 0) {
            target.copy_from_slice(elements);
        }
        Ok(())
    }

    fn read(&self, buffer: BufferId, elements: &mut [f32]) -> Result<(), DeviceError> {
        elements.copy_from_slice(self.lasting.get(&self.places[buffer.index()], 0));
        Ok(())
    }

    fn feed(
        &mut self,
        plan: PlanId,
        buffer: BufferId,
        rows: usize,
        fill: &mut dyn FnMut(FeedMut<'_>),
    ) -> Result<(), DeviceError> {
        let loaded = &mut self.plans[plan.0];
        assert!(rows <= loaded.plan.capacity, "invariant: the trainer keeps to the capacity");
        let view = &loaded.views[buffer.index()];
        assert!(!view.lasting, "invariant: feeds are the plan's own");
        fill(loaded.arena.get_mut(view, rows));
        Ok(())
    }

    fn run(&mut self, plan: PlanId, steps: Range<usize>, live: &Live) -> Result<(), DeviceError> {
        let loaded = &mut self.plans[plan.0];
        assert!(live.rows <= loaded.plan.capacity, "invariant: the trainer keeps to the capacity");
        let steps = &loaded.steps[steps];
        let memory = Memory::new(
            &mut self.lasting,
            &mut loaded.arena,
            &mut self.scratch,
            &mut self.thread_scratch,
            self.team.threads(),
        );
        let job = |worker: &Worker<'_>| {
            for step in steps {
                if step.meets {
                    worker.barrier();
                }
                for phase in 0..step.kernel.phases(live) {
                    if phase > 0 && !step.single && !step.kernel.is_apart(phase) {
                        worker.barrier();
                    }
                    let run = |task| {
                        // SAFETY: the team runs each task once; the members meet between steps, and
                        // between phases, of which one writes what the other reads or writes, unless
                        // one member runs both; the index is this thread's own; the plan was
                        // verified when it was built.
                        unsafe { memory.run_task(step, phase, task, live, worker.index()) };
                    };
                    let tasks = step.kernel.tasks(phase, live);
                    match &step.tasks_of {
                        _ if step.single => {
                            if worker.index() == 0 {
                                (0..tasks).for_each(run);
                            }
                        }
                        Some(tasks_of) => tasks_of[worker.index()].iter().copied().for_each(run),
                        None => worker.share(tasks, run),
                    }
                }
            }
        };
        if steps.iter().all(|step| step.single) {
            self.team.run_alone(&job);
        } else {
            self.team.run(&job);
        }
        Ok(())
    }

    fn fetch(
        &self,
        plan: PlanId,
        buffer: BufferId,
        rows: usize,
        elements: &mut [f32],
    ) -> Result<(), DeviceError> {
        let loaded = &self.plans[plan.0];
        let view = &loaded.views[buffer.index()];
        let arena = if view.lasting { &self.lasting } else { &loaded.arena };
        elements.copy_from_slice(arena.get(view, rows));
        Ok(())
    }
}

/// Where a buffer of a plan lies.
fn view(plan: &Plan, buffer: BufferId) -> View {
    View {
        lasting: plan.graph.buffer(plan.graph.root(buffer).0).role.is_lasting(),
        offset: plan.offsets[buffer.index()],
        ty: plan.graph.ty(buffer).clone(),
    }
}
