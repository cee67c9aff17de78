//! The update range: clipping, the optimizer's rule, averaged weights, and the finite check that
//! makes a step a transaction.

use std::sync::Arc;

use crate::op::expression::{Binary, Builder, Expr, Node, Program, Unary};
use crate::op::pointwise::Pointwise;
use crate::op::reduce::{Reduce, Reduction};
use crate::op::{BufferId, Emitter, Graph, OpError, Role, Step};
use crate::tensor::{Shape, TensorType};

use super::{Clip, Lasting, Update};

/// Something that a rule keeps per element from step to step.
#[derive(Clone, Debug, PartialEq)]
pub struct StateRule {
    /// Name, such as `momentum`.
    pub name: String,
    /// Value before the first step.
    pub initial: f32,
}

/// How an optimizer changes one element.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateRule {
    /// What it keeps per element.
    pub states: Vec<StateRule>,
    /// Names of the scalars that the host computes for each step.
    pub scalars: Vec<String>,
    /// Operands: gradient, scalars, parameter, states. Results: parameter, states.
    pub program: Program,
}

impl UpdateRule {
    /// A rule from a function that gets gradient, scalars, parameter and states and returns the new
    /// parameter and the new states.
    pub fn new(
        states: &[(&str, f32)],
        scalars: &[&str],
        f: impl FnOnce(&Expr, &[Expr], &Expr, &[Expr]) -> (Expr, Vec<Expr>),
    ) -> UpdateRule {
        let count = 2 + scalars.len() + states.len();
        let operands: Vec<Expr> = (0..count).map(Expr::input).collect();
        let (given, own) = operands.split_at(1 + scalars.len());
        let (parameter, next) = f(&given[0], &given[1..], &own[0], &own[1..]);
        let results: Vec<Expr> = std::iter::once(parameter).chain(next).collect();
        UpdateRule {
            states: states
                .iter()
                .map(|&(name, initial)| StateRule { name: name.into(), initial })
                .collect(),
            scalars: scalars.iter().map(|s| s.to_string()).collect(),
            program: Program::new(count, &results),
        }
    }

    /// The same rule, keeping an exponential moving average of the parameters,
    /// `average = decay · average + (1 − decay) · parameter`, as a last state `average`. The decay
    /// is the scalar `average_decay`: 0 in the first step, so the average starts at the parameters.
    pub fn with_average(&self) -> UpdateRule {
        let (given, states) = (1 + self.scalars.len(), self.states.len());
        let mut builder = Builder::new(given + 1 + 1 + states + 1);
        let input = |b: &mut Builder, i| b.push(Node::Input(i));
        let decay = input(&mut builder, given);
        let mut operands: Vec<usize> = (0..given).map(|i| input(&mut builder, i)).collect();
        operands.extend((0..=states).map(|i| input(&mut builder, given + 1 + i)));
        let old = input(&mut builder, given + 2 + states);
        let mut results = builder.inline(&self.program, &operands);
        let change = builder.push(Node::Binary(Binary::Sub, old, results[0]));
        let kept = builder.push(Node::Binary(Binary::Mul, decay, change));
        results.push(builder.push(Node::Binary(Binary::Add, results[0], kept)));
        let mut rule = self.clone();
        rule.states.push(StateRule { name: "average".into(), initial: 0.0 });
        rule.scalars.push("average_decay".into());
        rule.program = builder.finish(results);
        rule
    }

    /// The whole step: operands are gradient, scalars, halted flag, gradient scale where there is
    /// one, parameter, states. Nothing changes unless the flag is 0.
    fn guarded(&self, clip: &Clip) -> Program {
        let (given, own) = (1 + self.scalars.len(), 1 + self.states.len());
        let first = given + 1 + usize::from(matches!(clip, Clip::Norm(_)));
        let mut builder = Builder::new(first + own);
        let mut operands: Vec<usize> = (0..given).map(|i| builder.push(Node::Input(i))).collect();
        let halted = builder.push(Node::Input(given));
        match *clip {
            Clip::None => {}
            Clip::Norm(_) => {
                let scale = builder.push(Node::Input(given + 1));
                operands[0] = builder.push(Node::Binary(Binary::Mul, operands[0], scale));
            }
            Clip::Value(limit) => {
                let (low, high) =
                    (builder.push(Node::Constant(-limit)), builder.push(Node::Constant(limit)));
                let above = builder.push(Node::Binary(Binary::Max, operands[0], low));
                operands[0] = builder.push(Node::Binary(Binary::Min, above, high));
            }
        }
        let old: Vec<usize> = (0..own).map(|i| builder.push(Node::Input(first + i))).collect();
        operands.extend(&old);
        let new = builder.inline(&self.program, &operands);
        let results = new
            .into_iter()
            .zip(old)
            .map(|(new, old)| builder.push(Node::Select(halted, old, new)))
            .collect();
        builder.finish(results)
    }
}

/// 1 where the expression is finite: an infinity or NaN times 0 is not 0.
fn is_finite(x: Expr) -> Expr {
    (x * 0.0).equal(0.0)
}

/// Appends the update range: with a norm to clip by one reduction over all gradients, then a step of
/// one element, then one for all groups of a rule. The step of one element decides whether the update
/// is made: it is not where the loss, or a norm to clip by, is not finite, nor after such a step until
/// somebody has looked.
pub(super) fn append(
    graph: &mut Graph,
    lasting: &Lasting,
    losses: &[BufferId],
    clip: &Clip,
) -> Result<(), OpError> {
    let Some(halted) = lasting.halted else { return Ok(()) };
    let single = Shape::fixed(&[1]);
    let mut operands = losses.to_vec();
    let sum = (0..losses.len()).map(Expr::input).reduce(|a, b| a + b);
    let mut finite = is_finite(sum.unwrap_or_else(|| Expr::constant(0.0)));
    let (mut outputs, mut scale) = (vec![halted], None);
    if let (Clip::Norm(limit), Some(gradients)) = (*clip, lasting.gradients) {
        let norm = Expr::input(operands.len()).unary(Unary::Sqrt);
        let squares = Reduce::new(Reduction::SumSquares, &[0], true);
        operands.push(Emitter::new(graph, "update").one(squares, &[gradients])?);
        finite = finite * is_finite(norm.clone());
        // As PyTorch's clip_grad_norm_: limit / (norm + 1e-6), at most 1.
        scale = Some((limit / (norm + 1e-6)).min(1.0));
        let ty = TensorType::f32(single.clone());
        outputs.push(graph.add("gradient scale", ty, Role::Activation));
    }
    let stays = finite.select(Expr::input(operands.len()), 1.0);
    let results: Vec<Expr> = std::iter::once(stays).chain(scale).collect();
    let op = Pointwise::updating(Program::new(operands.len() + 1, &results), 1, single);
    let layer = "update".to_string();
    let step = Step { op: Arc::new(op), inputs: operands, outputs: outputs.clone(), layer };
    graph.steps.push(step);
    for update in &lasting.updates {
        append_update(graph, update, &outputs, clip);
    }
    Ok(())
}

/// Appends the step that updates all groups of a rule. `flags` are the halted flag and, where
/// gradients are scaled, their scale.
fn append_update(graph: &mut Graph, update: &Update, flags: &[BufferId], clip: &Clip) {
    let mut inputs = vec![update.gradient];
    inputs.extend(&update.scalars);
    inputs.extend(flags);
    let outputs: Vec<BufferId> =
        std::iter::once(update.parameter).chain(update.states.iter().copied()).collect();
    let shape = graph.ty(update.parameter).shape.clone();
    let op = Pointwise::updating(update.rule.guarded(clip), outputs.len(), shape);
    let op = Arc::new(op.in_ranges(&update.ends));
    let layer = format!("update/{}", update.name);
    graph.steps.push(Step { op, inputs, outputs, layer });
}
