//! The form that each step of a plan takes on the card: its launches, and which alternative they are.

use super::{CudaExecutor, Launch, Prepared};
use crate::error::DeviceError;
use crate::exec::cuda::choices::Origin;
use crate::exec::cuda::driver::{Address, Use};
use crate::op::launch::{Argument, Launches, Target};
use crate::op::{BufferId, Step};
use crate::plan::{ALIGNMENT, Plan};

/// How a step is run.
pub(super) struct Form {
    pub(super) launches: Launches,
    /// Name of the alternative, where there are several, and who chose it.
    choice: Option<(String, Origin)>,
    /// Bytes of scratch memory that any alternative may want.
    scratch: usize,
    /// Counters that any alternative may want.
    tickets: usize,
}

impl Form {
    /// One line for each launch: kernel, alternative, grid.
    pub(super) fn notes(&self) -> Vec<String> {
        let choice = self.choice.as_ref();
        let choice = choice.map(|(name, origin)| format!(", {name} ({origin})"));
        let note = |launch: &Launch| {
            let grid = launch.grid.iter().rev().skip_while(|&&blocks| blocks == 1);
            let mut grid: Vec<_> = grid.map(u32::to_string).collect();
            grid.reverse();
            let blocks = if grid.is_empty() { "1".into() } else { grid.join(" x ") };
            let (name, choice) = (launch.kernel.name(), choice.as_deref().unwrap_or_default());
            format!("-> {name}{choice}: {blocks} blocks of {} threads", launch.threads)
        };
        self.launches.list.iter().map(note).collect()
    }
}

/// Bytes of a plan's own memory: its arena, scratch memory, tickets.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    arena: usize,
    scratch: usize,
    tickets: usize,
}

impl Extent {
    /// Room for any alternative of each step, so that tuning allocates nothing that stays.
    pub(super) fn new(plan: &Plan, forms: &[Form]) -> Extent {
        let most = |of: fn(&Form) -> usize| forms.iter().map(of).max().unwrap_or(0);
        Extent {
            arena: plan.bytes.next_multiple_of(ALIGNMENT),
            scratch: most(|form| form.scratch).next_multiple_of(ALIGNMENT),
            tickets: 4 * most(|form| form.tickets),
        }
    }

    /// All of it.
    pub(super) fn bytes(&self) -> usize {
        self.arena + self.scratch + self.tickets
    }

    /// The same by use.
    pub(super) fn uses(&self) -> [(Use, usize); 2] {
        [(Use::Arena, self.arena), (Use::Scratch, self.scratch + self.tickets)]
    }

    /// Where its parts lie in memory from `start` on.
    pub(super) fn places(&self, start: Address) -> PlanMemory {
        PlanMemory {
            arena: start,
            scratch: start + self.arena as Address,
            tickets: start + (self.arena + self.scratch) as Address,
        }
    }
}

/// Addresses of a plan's own memory.
pub(super) struct PlanMemory {
    pub(super) arena: Address,
    scratch: Address,
    tickets: Address,
}

impl CudaExecutor {
    pub(super) fn target(&self) -> Target {
        Target { capability: self.context.capability() }
    }

    /// The forms of a plan's steps by what is known now.
    pub(super) fn forms(&self, plan: &Plan) -> Result<Vec<Form>, DeviceError> {
        plan.graph.steps.iter().map(|step| self.form(plan, step)).collect()
    }

    fn form(&self, plan: &Plan, step: &Step) -> Result<Form, DeviceError> {
        let (types, target) = (plan.graph.call_types(step), self.target());
        let launches = step.op.launches(&types, plan.capacity, &target);
        let launches = launches.ok_or_else(|| DeviceError::NoForm {
            device: self.context.name().into(),
            layer: step.layer.clone(),
            op: step.op.name().into(),
        })?;
        let mut all = step.op.alternatives(&types, plan.capacity, &target);
        let every = || all.iter().map(|(_, launches)| launches).chain([&launches]);
        let scratch = every().map(|l| l.scratch).max().unwrap_or(0);
        let tickets = every().map(|l| l.tickets).max().unwrap_or(0);
        let estimated = || all.iter().position(|(_, each)| *each == launches);
        let found = (!all.is_empty()).then(|| self.choices.find(self.choices.key(&all), &all));
        let chosen = found.and_then(|f| f.or_else(|| Some((estimated()?, Origin::Estimated))));
        Ok(match chosen {
            Some((index, origin)) => {
                let (name, launches) = all.swap_remove(index);
                Form { launches, choice: Some((name, origin)), scratch, tickets }
            }
            None => Form { launches, choice: None, scratch, tickets },
        })
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

    /// Prepares the forms of a plan, whose kernels are loaded, for its memory.
    pub(super) fn arrange(
        &self,
        plan: &Plan,
        forms: &[Form],
        places: &PlanMemory,
    ) -> Result<Vec<Vec<Prepared>>, DeviceError> {
        let steps = plan.graph.steps.iter().zip(forms).map(|(step, form)| {
            let prepare =
                |launch: &Launch| self.prepare(launch, self.addresses(plan, step, launch, places));
            form.launches.list.iter().map(prepare).collect()
        });
        steps.collect()
    }
}
