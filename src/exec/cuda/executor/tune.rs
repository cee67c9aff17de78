//! Measuring the alternatives of a plan's steps. Any of them gives the same bits, so that which is
//! fastest may be left to a clock.
//!
//! Each is run as in training, from a graph, on memory of its own that holds random numbers, for the
//! plan's whole capacity. Rounds pass through all alternatives in turn, so that a clock rate that
//! drifts meets all of them; the medians are compared.

use std::collections::{HashMap, HashSet};

use super::forms::Form;
use super::{Control, CudaExecutor, Launch, Memory, Prepared, Use};
use crate::error::DeviceError;
use crate::exec::cuda::choices::Alternatives;
use crate::exec::cuda::driver::{Address, Event, Graph};
use crate::exec::{PlanId, Timing};
use crate::op::launch::Argument;
use crate::op::{CallTypes, Live};
use crate::plan::ALIGNMENT;
use crate::random;
use crate::tensor::{DType, TensorType};

/// Timed rounds.
const ROUNDS: usize = 9;
/// Milliseconds that the runs of one alternative in one round shall take, against the grain of the
/// clock, some half a microsecond.
const ROUND: f32 = 0.2;
/// Runs in a round at most.
const RUNS: f32 = 64.0;
/// Part of the free memory that a measurement may take; larger steps stay estimated.
const SHARE: f64 = 0.8;
/// Random numbers that repeat over a buffer.
const NUMBERS: usize = 1 << 18;

impl CudaExecutor {
    /// Measures what [`Executor::tune`](crate::exec::Executor::tune) says, and puts the plan's steps
    /// into the forms that are chosen then.
    pub(super) fn tune_plan(
        &mut self,
        id: PlanId,
        again: bool,
    ) -> Result<Vec<Timing>, DeviceError> {
        let before: HashSet<_> = self.functions.keys().cloned().collect();
        let timings = self.measure_plan(id, again)?;
        let plan = self.plans[id.0].plan.clone();
        let forms = self.forms(&plan)?;
        if !timings.is_empty() {
            let arranged = self.arrange(&plan, &forms, &self.plans[id.0].places)?;
            // Before what may still run is given back.
            self.stream.synchronize()?;
            let loaded = &mut self.plans[id.0];
            loaded.steps = arranged;
            loaded.graphs.clear();
            loaded.notes = forms.iter().map(Form::notes).collect();
            loaded.burst.ready = None;
        }
        let chosen = forms.iter().flat_map(|form| &form.launches.list);
        let chosen: HashSet<_> = chosen.map(|l| (l.kernel.clone(), l.entry)).collect();
        self.functions.retain(|kernel, _| before.contains(kernel) || chosen.contains(kernel));
        Ok(timings)
    }

    /// Measures the steps of a plan that have alternatives and, unless `again`, no measured choice.
    fn measure_plan(&mut self, id: PlanId, again: bool) -> Result<Vec<Timing>, DeviceError> {
        let plan = self.plans[id.0].plan.clone();
        let (capacity, target) = (plan.capacity, self.target());
        let mut wanted = Vec::new();
        for (i, step) in plan.graph.steps.iter().enumerate() {
            let types = plan.graph.call_types(step);
            let all = step.op.alternatives(&types, capacity, &target);
            let key = self.choices.key(&all);
            if !all.is_empty() && (again || self.choices.find(key, &all).is_none()) {
                wanted.push((i, key, types, all));
            }
        }
        let launches = wanted.iter().flat_map(|(_, _, _, all)| all).flat_map(|(_, l)| &l.list);
        self.load_kernels(launches)?;
        let (mut timings, mut done) = (Vec::new(), HashMap::new());
        for (i, key, types, all) in &wanted {
            // Equal steps are measured once.
            let times = match done.get(key) {
                Some(times) => times,
                None => {
                    let Some(times) = self.measure(types, capacity, all)? else { continue };
                    done.entry(*key).or_insert(times)
                }
            };
            let named = all.iter().map(|(name, _)| name.clone()).zip(times.iter().copied());
            let microseconds: Vec<_> = named.collect();
            let fastest = microseconds.iter().min_by(|a, b| a.1.total_cmp(&b.1));
            let fastest = fastest.expect("invariant: there are alternatives").0.clone();
            let step = &plan.graph.steps[*i];
            let text = format!("{} of {}", step.op.label(), describe(types));
            let remembered = self.choices.keep(*key, &text, &microseconds, &fastest);
            let launches = step.op.launches(types, capacity, &target);
            let estimated = all.iter().find(|(_, each)| Some(each) == launches.as_ref());
            let estimated = estimated.map_or_else(String::new, |(name, _)| name.clone());
            timings.push(Timing { step: *i, estimated, fastest, microseconds, remembered });
        }
        Ok(timings)
    }

    /// Microseconds of each alternative; none if there is no room for the operands.
    fn measure(
        &self,
        types: &CallTypes,
        capacity: usize,
        all: &Alternatives,
    ) -> Result<Option<Vec<f64>>, DeviceError> {
        let Some(operands) = Operands::new(self, types, capacity, all)? else { return Ok(None) };
        let prepare = |launch: &Launch| self.prepare(launch, operands.addresses(launch));
        let each = all.iter().map(|(_, launches)| launches.list.iter().map(prepare).collect());
        let each: Vec<Vec<Prepared>> = each.collect::<Result<_, _>>()?;
        let marks = [Event::timed(&self.context)?, Event::timed(&self.context)?];
        let run =
            |launches: &Vec<Prepared>| launches.iter().try_for_each(|l| self.stream.launch(l));
        // The first run of a kernel is slow; the second tells how many make up a round.
        each.iter().try_for_each(run)?;
        let once = each.iter().map(|launches| self.time(&marks, || run(launches)));
        let once = once.collect::<Result<Vec<f32>, _>>()?;
        let shortest = once.into_iter().fold(f32::INFINITY, f32::min);
        let runs = (ROUND / shortest).clamp(1.0, RUNS) as usize;
        let capture = |launches: &Vec<Prepared>| {
            self.stream.capture(|| (0..runs).try_for_each(|_| run(launches)))
        };
        let graphs = each.iter().map(capture).collect::<Result<Vec<Graph>, _>>()?;
        graphs.iter().try_for_each(|graph| self.stream.replay(graph))?;
        let mut times = vec![Vec::with_capacity(ROUNDS); graphs.len()];
        for _ in 0..ROUNDS {
            for (graph, times) in graphs.iter().zip(&mut times) {
                times.push(self.time(&marks, || self.stream.replay(graph))?);
            }
        }
        let median = |mut times: Vec<f32>| {
            times.sort_by(f32::total_cmp);
            1e3 * f64::from(times[ROUNDS / 2]) / runs as f64
        };
        Ok(Some(times.into_iter().map(median).collect()))
    }

    /// Milliseconds from the beginning to the end of what `queue` queues.
    fn time(
        &self,
        [begin, end]: &[Event; 2],
        queue: impl FnOnce() -> Result<(), DeviceError>,
    ) -> Result<f32, DeviceError> {
        begin.record(&self.stream)?;
        queue()?;
        end.record(&self.stream)?;
        end.wait()?;
        begin.milliseconds_until(end)
    }
}

/// Memory of a step's own: inputs, outputs, scratch memory, tickets, control block.
struct Operands {
    memory: Memory,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    scratch: usize,
    tickets: usize,
    live: usize,
}

impl Operands {
    fn new(
        executor: &CudaExecutor,
        types: &CallTypes,
        capacity: usize,
        all: &Alternatives,
    ) -> Result<Option<Operands>, DeviceError> {
        let live = Control::of(&Live { rows: capacity, seed: 0, step: 1 });
        let mut end = 0;
        let mut place = |bytes: usize| {
            let start = end;
            end += bytes.next_multiple_of(ALIGNMENT);
            start
        };
        let mut places = |types: &[TensorType]| -> Vec<usize> {
            types.iter().map(|ty| place(ty.bytes(capacity))).collect()
        };
        let (inputs, outputs) = (places(&types.inputs), places(&types.outputs));
        let scratch = place(all.iter().map(|(_, l)| l.scratch).max().unwrap_or(0));
        let tickets = place(4 * all.iter().map(|(_, l)| l.tickets).max().unwrap_or(0));
        let at = place(live.bytes.len());
        if end as f64 > SHARE * executor.context.free_memory()? as f64 {
            return Ok(None);
        }
        let stream = &executor.stream;
        let memory = Memory::zeroed(&executor.context, stream, &[(Use::Measurement, end)])?;
        let operands = Operands { memory, inputs, outputs, scratch, tickets, live: at };
        stream.upload(operands.at(at), &live.bytes)?;
        let mut numbers = vec![0.0; NUMBERS];
        random::fill_uniform(0, 0, 0, 0, &mut numbers);
        numbers.iter_mut().for_each(|x| *x = 2.0 * *x - 1.0);
        let inputs = operands.inputs.iter().zip(&types.inputs);
        // Integers stay 0, which is a valid index into anything.
        for (start, ty) in inputs.filter(|(_, ty)| ty.dtype == DType::F32) {
            let count = ty.shape.elements(capacity);
            for first in (0..count).step_by(NUMBERS) {
                let piece = &numbers[..NUMBERS.min(count - first)];
                stream.upload(operands.at(start + 4 * first), piece)?;
            }
        }
        Ok(Some(operands))
    }

    fn at(&self, byte: usize) -> Address {
        self.memory.address() + byte as Address
    }

    fn addresses(&self, launch: &Launch) -> Vec<Address> {
        let address = |argument: &Argument| {
            self.at(match *argument {
                Argument::Live => self.live,
                Argument::Input(i) => self.inputs[i],
                Argument::Output(i) => self.outputs[i],
                Argument::Scratch(byte) => self.scratch + byte,
                Argument::Tickets => self.tickets,
            })
        };
        launch.arguments.iter().map(address).collect()
    }
}

/// The types of a call: inputs, then outputs.
fn describe(types: &CallTypes) -> String {
    let list =
        |types: &[TensorType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("{} to {}", list(&types.inputs), list(&types.outputs))
}
