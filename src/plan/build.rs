//! From a model's graph to a plan: the passes in their order.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{ModelError, PlanError, Result};
use crate::op::expression::{Expr, Program};
use crate::op::pointwise::Pointwise;
use crate::op::reduce::{Reduce, Reduction};
use crate::op::{BufferId, Emitter, Graph, Mode, OpError, Role, Step};
use crate::tensor::{Shape, TensorType};

use super::lower::{expand, join_views, resolve};
use super::{Lasting, Plan, arena, backward, fuse, update, verify};

/// How gradients are limited before the update.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Clip {
    /// Not at all.
    #[default]
    None,
    /// Scaled so that their norm over all parameters is at most this.
    Norm(f64),
    /// Each element to at most this absolute value.
    Value(f64),
}

/// A loss of the model.
#[derive(Clone, Debug, PartialEq)]
pub struct RowLoss {
    /// Name.
    pub name: String,
    /// Its value in the model's graph: one per row of the batch, or a single one for a penalty.
    pub value: BufferId,
    /// Factor in the sum of losses.
    pub factor: f64,
    /// Whether the feed `weights/<name>` weighs the rows.
    pub weighted: bool,
}

/// What to plan.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The model's graph.
    pub model: &'a Graph,
    /// Values to keep until the end of the step, by name.
    pub outputs: &'a [(String, BufferId)],
    /// Losses; a row loss is summed over rows with the scalar `normalizer/<name>`.
    pub losses: &'a [RowLoss],
    /// Training adds backward and update.
    pub mode: Mode,
    /// Largest number of rows.
    pub capacity: usize,
    /// Whether gradients add up over several passes; the scalar `first` is 1 in the first.
    pub accumulate: bool,
    /// Limit of the gradients.
    pub clip: Clip,
    /// Values of the model whose gradients are kept too, as outputs `<name>.gradient`.
    pub gradients: &'a [BufferId],
}

impl Plan {
    /// Builds, fuses, lays out and verifies a plan.
    pub fn build(request: &Request<'_>, lasting: &Lasting) -> Result<Plan> {
        let mut builder = Builder::new(request, lasting);
        builder.copy_model()?;
        builder.add_losses()?;
        let forward = builder.graph.steps.len();
        if request.mode == Mode::Training {
            builder.differentiate()?;
        }
        let backward = builder.graph.steps.len();
        if request.mode == Mode::Training {
            let losses: Vec<_> = builder.losses.iter().map(|(_, id)| *id).collect();
            update::append(&mut builder.graph, lasting, &losses, &request.clip)
                .map_err(|error| builder.internal("update", &error))?;
            builder.expand(backward)?;
        }
        builder.finish(forward, backward)
    }
}

/// Seed gradients and the losses they belong to.
struct Seed {
    value: BufferId,
    gradient: BufferId,
}

struct Builder<'a> {
    request: &'a Request<'a>,
    lasting: &'a Lasting,
    graph: Graph,
    /// Where the model's values stand in the plan.
    map: HashMap<BufferId, BufferId>,
    feeds: Vec<(String, BufferId)>,
    outputs: Vec<(String, BufferId)>,
    losses: Vec<(String, BufferId)>,
    seeds: Vec<Seed>,
}

impl<'a> Builder<'a> {
    fn new(request: &'a Request<'a>, lasting: &'a Lasting) -> Self {
        Builder {
            request,
            lasting,
            graph: lasting.graph.clone(),
            map: HashMap::new(),
            feeds: vec![],
            outputs: vec![],
            losses: vec![],
            seeds: vec![],
        }
    }

    fn internal(&self, layer: &str, error: &OpError) -> PlanError {
        PlanError::Unsupported(format!("layer `{layer}`: {error}"))
    }

    fn expand(&mut self, first: usize) -> Result<()> {
        let renamed = expand(&mut self.graph, first, self.request.mode)
            .map_err(|(step, error)| self.internal(&step.layer, &error))?;
        self.map.values_mut().for_each(|id| *id = resolve(&renamed, *id));
        Ok(())
    }

    /// Copies the steps that outputs and losses depend on.
    fn copy_model(&mut self) -> Result<()> {
        let model = self.request.model;
        let mut needed: HashSet<BufferId> = self.request.losses.iter().map(|l| l.value).collect();
        needed.extend(self.request.outputs.iter().map(|(_, id)| *id));
        let mut steps: Vec<&Step> = Vec::new();
        for step in model.steps.iter().rev() {
            if step.outputs.iter().any(|id| needed.contains(id)) {
                needed.extend(&step.inputs);
                steps.push(step);
            }
        }
        for (i, buffer) in model.buffers.iter().enumerate() {
            let id = BufferId(i as u32);
            match buffer.role {
                Role::Parameter => {
                    let found = self.lasting.graph.find(&buffer.name).ok_or_else(|| {
                        ModelError::Name(format!("parameter `{}` has no place", buffer.name))
                    })?;
                    self.map.insert(id, found);
                }
                Role::Input | Role::Target if needed.contains(&id) => {
                    let new = self.graph.add(&buffer.name, buffer.ty.clone(), buffer.role);
                    self.feeds.push((buffer.name.clone(), new));
                    self.map.insert(id, new);
                }
                Role::Control if needed.contains(&id) => {
                    let found = self.lasting.scalar(&buffer.name).ok_or_else(|| {
                        ModelError::Name(format!("control scalar `{}` has no place", buffer.name))
                    })?;
                    self.map.insert(id, found);
                }
                _ => {}
            }
        }
        for step in steps.into_iter().rev() {
            let inputs: Vec<_> = step.inputs.iter().map(|id| self.map[id]).collect();
            let outputs = self
                .graph
                .call(step.op.clone(), &inputs, &step.layer)
                .map_err(|error| self.internal(&step.layer, &error))?;
            self.map.extend(step.outputs.iter().copied().zip(outputs));
        }
        self.expand(0)?;
        for (name, id) in self.request.outputs {
            self.outputs.push((name.clone(), self.map[id]));
        }
        Ok(())
    }

    fn add_losses(&mut self) -> Result<()> {
        for loss in self.request.losses {
            let start = self.graph.steps.len();
            self.add_loss(loss).map_err(|error| self.internal(&loss.name, &error))?;
            self.expand(start)?;
        }
        Ok(())
    }

    /// The reported loss is `Σ value · seed`, and `seed` is the gradient of the value.
    fn add_loss(&mut self, loss: &RowLoss) -> Result<(), OpError> {
        let value = self.map[&loss.value];
        let shape = self.graph.ty(value).shape.clone();
        let by_row = shape == Shape::rows(&[]);
        if !by_row && shape != Shape::fixed(&[1]) {
            return Err(OpError(format!(
                "a loss must be one value per row, [B], got {shape}; end it with `mean_per_row`"
            )));
        }
        let scalar = match by_row {
            true => format!("normalizer/{}", loss.name),
            false => "penalty_share".to_string(),
        };
        let scalar = self.lasting.scalar(&scalar).ok_or_else(|| {
            OpError(format!("the lasting layout has no control scalar `{scalar}`"))
        })?;
        let mut operands = vec![scalar];
        let mut seed = Expr::input(0) * loss.factor;
        if loss.weighted && by_row {
            let name = format!("weights/{}", loss.name);
            let feed = self.graph.add(&name, TensorType::f32(shape.clone()), Role::Target);
            self.feeds.push((name, feed));
            operands.push(feed);
            seed = seed * Expr::input(1);
        }
        let mut emitter = Emitter::new(&mut self.graph, format!("loss/{}", loss.name));
        let op = Pointwise::new(operands.len(), &seed).with_shape(shape.clone());
        let gradient = emitter.one(op, &operands)?;
        let product = Pointwise::new(2, &(Expr::input(0) * Expr::input(1)));
        let mut total = emitter.one(product, &[value, gradient])?;
        if by_row {
            total = emitter.one(Reduce::new(Reduction::Sum, &[0], true), &[total])?;
        }
        self.losses.push((loss.name.clone(), total));
        self.seeds.push(Seed { value, gradient });
        Ok(())
    }

    fn differentiate(&mut self) -> Result<()> {
        let start = self.graph.steps.len();
        let trained: Vec<_> =
            self.lasting.parameters().filter(|p| p.gradient.is_some()).cloned().collect();
        let mut wanted: Vec<_> = trained.iter().map(|p| p.parameter).collect();
        wanted.extend(self.request.gradients.iter().map(|id| self.map[id]));
        let seeds: Vec<_> = self.seeds.iter().map(|s| (s.value, s.gradient)).collect();
        let gradients = backward::append(&mut self.graph, start, &seeds, &wanted)
            .map_err(|(step, error)| self.internal(&step.layer, &error))?;
        let renamed = expand(&mut self.graph, start, self.request.mode)
            .map_err(|(step, error)| self.internal(&step.layer, &error))?;
        let mut gradients = gradients.into_iter().map(|g| g.map(|id| resolve(&renamed, id)));
        let mut placed: HashMap<BufferId, BufferId> = HashMap::new();
        for (parameter, gradient) in trained.iter().zip(gradients.by_ref()) {
            let (Some(value), Some(target)) = (gradient, parameter.gradient) else {
                return Err(PlanError::Unsupported(format!(
                    "parameter `{}` has no influence on any loss; use it, freeze it or remove it",
                    parameter.name
                ))
                .into());
            };
            // Parameters that are added to each other share a gradient: the first has it in its
            // place, the others get a copy.
            self.place_gradient(placed.get(&value).copied().unwrap_or(value), target, start);
            if !self.request.accumulate {
                placed.insert(value, target);
            }
        }
        for (id, gradient) in self.request.gradients.iter().zip(gradients) {
            let name = &self.request.model.buffer(*id).name;
            let gradient = gradient.ok_or_else(|| {
                PlanError::Unsupported(format!("`{name}` has no influence on any loss"))
            })?;
            self.outputs.push((format!("{name}.gradient"), gradient));
        }
        Ok(())
    }

    /// Makes a computed gradient end in its place in lasting memory.
    fn place_gradient(&mut self, value: BufferId, target: BufferId, start: usize) {
        let producer = self.graph.steps[start..]
            .iter_mut()
            .find(|s| s.outputs.contains(&value) && !s.op.is_view())
            .filter(|_| self.lasting.graph.buffers.len() <= value.index());
        match producer {
            Some(_) if !self.request.accumulate => {
                for step in &mut self.graph.steps {
                    for id in step.inputs.iter_mut().chain(&mut step.outputs) {
                        if *id == value {
                            *id = target;
                        }
                    }
                }
            }
            _ => {
                let shape = self.graph.ty(target).shape.clone();
                let (new, old) = (Expr::input(0), Expr::input(2));
                let (op, inputs) = match self.request.accumulate {
                    false => (Pointwise::new(1, &new).with_shape(shape), vec![value]),
                    true => {
                        let first = self.lasting.scalar("first");
                        let sum = Expr::input(1).select(&new, old + &new);
                        let op = Pointwise::updating(Program::new(3, &[sum]), 1, shape);
                        (op, std::iter::once(value).chain(first).collect())
                    }
                };
                let layer = "gradient".to_string();
                let step = Step { op: Arc::new(op), inputs, outputs: vec![target], layer };
                self.graph.steps.push(step);
            }
        }
    }

    fn finish(mut self, forward: usize, backward: usize) -> Result<Plan> {
        let mut kept: HashSet<BufferId> = HashSet::new();
        kept.extend(self.outputs.iter().chain(&self.losses).map(|(_, id)| *id));
        let before = self.graph.steps.len();
        let joined = fuse::join_losses(&mut self.graph, forward, &kept);
        let end = self.graph.steps.len();
        let backward = backward - (before - end);
        let forward = joined;
        let update = fuse::fuse(&mut self.graph, backward..end, &kept);
        let backward = fuse::fuse(&mut self.graph, forward..backward, &kept);
        let backward = fuse::join_row_sums(&mut self.graph, forward..forward + backward);
        let forward = fuse::fuse(&mut self.graph, 0..forward, &kept);
        let counts = [forward, backward, update];
        let counts = join_views_counted(&mut self.graph, counts);
        let mut plan = Plan {
            graph: self.graph,
            mode: self.request.mode,
            capacity: self.request.capacity,
            accumulate: self.request.accumulate,
            forward: 0..counts[0],
            backward: counts[0]..counts[0] + counts[1],
            update: counts[0] + counts[1]..counts.iter().sum(),
            feeds: self.feeds,
            outputs: self.outputs,
            losses: self.losses,
            offsets: vec![],
            bytes: 0,
        };
        arena::assign(&mut plan, self.lasting)?;
        verify::verify(&plan, self.lasting)?;
        Ok(plan)
    }
}

/// Joins views and returns how many steps of each range are left.
fn join_views_counted(graph: &mut Graph, counts: [usize; 3]) -> [usize; 3] {
    let mut steps = std::mem::take(&mut graph.steps).into_iter();
    let mut all = Vec::new();
    let left = counts.map(|count| {
        graph.steps = steps.by_ref().take(count).collect();
        join_views(graph);
        all.append(&mut graph.steps);
        all.len()
    });
    graph.steps = all;
    [left[0], left[1] - left[0], left[2] - left[1]]
}
