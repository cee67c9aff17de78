//! The update range: clipping, the optimizer's rule, averaged weights, and the finite check that
//! makes a step a transaction.

use std::sync::Arc;

use crate::op::expression::{Binary, Builder, Expr, Node, Program, Unary};
use crate::op::pointwise::Pointwise;
use crate::op::reduce::{Reduce, Reduction};
use crate::op::{BufferId, Emitter, Graph, OpError, Role, Step};
use crate::tensor::Shape;

use super::{Clip, Group, Lasting};

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

    /// The whole step: operands are gradient, scalars, halted flag, gradient scale, parameter, states.
    /// Nothing changes unless the flag is 0.
    fn guarded(&self, clip: &Clip) -> Program {
        let (given, own) = (1 + self.scalars.len(), 1 + self.states.len());
        let mut builder = Builder::new(given + 2 + own);
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
        let old: Vec<usize> = (0..own).map(|i| builder.push(Node::Input(given + 2 + i))).collect();
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

/// Appends the update range. Its first part decides whether the step is taken: it is not where the
/// loss, or a norm to clip by, is not finite, nor after such a step until somebody has looked.
pub(super) fn append(
    graph: &mut Graph,
    lasting: &Lasting,
    losses: &[BufferId],
    clip: &Clip,
) -> Result<(), OpError> {
    let Some(halted) = lasting.halted else { return Ok(()) };
    let mut emitter = Emitter::new(graph, "update");
    let single = Shape::fixed(&[1]);
    let one = |expr: &Expr, n| Pointwise::new(n, expr).with_shape(single.clone());
    let sum = (0..losses.len()).map(Expr::input).reduce(|a, b| a + b);
    let mut finite = is_finite(sum.unwrap_or_else(|| Expr::constant(0.0)));
    let (mut operands, mut scale) = (losses.to_vec(), halted);
    if let Clip::Norm(limit) = *clip {
        let squares = lasting
            .groups
            .iter()
            .filter_map(|g| g.gradient)
            .map(|g| emitter.one(Reduce::new(Reduction::SumSquares, &[0], true), &[g]))
            .collect::<Result<Vec<_>, _>>()?;
        let total = (0..squares.len()).map(Expr::input).reduce(|a, b| a + b);
        let norm = total.unwrap_or_else(|| Expr::constant(0.0)).unary(Unary::Sqrt);
        let norm = emitter.one(one(&norm, squares.len()), &squares)?;
        // As PyTorch's clip_grad_norm_: limit / (norm + 1e-6), at most 1.
        scale = emitter.one(one(&(limit / (Expr::input(0) + 1e-6)).min(1.0), 1), &[norm])?;
        finite = finite * is_finite(Expr::input(operands.len()));
        operands.push(norm);
    }
    let stays = finite.select(Expr::input(operands.len()), 1.0);
    let op = Pointwise::updating(Program::new(operands.len() + 1, &[stays]), 1, single);
    let layer = "update".to_string();
    graph.steps.push(Step { op: Arc::new(op), inputs: operands, outputs: vec![halted], layer });
    for group in &lasting.groups {
        append_group(graph, group, halted, scale, clip);
    }
    Ok(())
}

fn append_group(graph: &mut Graph, group: &Group, halted: BufferId, scale: BufferId, clip: &Clip) {
    let (Some(rule), Some(gradient)) = (&group.rule, group.gradient) else { return };
    debug_assert_eq!(graph.buffer(gradient).role, Role::Gradient);
    let mut inputs = vec![gradient];
    inputs.extend(&group.scalars);
    inputs.extend([halted, scale]);
    let outputs: Vec<BufferId> =
        std::iter::once(group.parameter).chain(group.states.iter().copied()).collect();
    let shape = graph.ty(group.parameter).shape.clone();
    let op = Pointwise::updating(rule.guarded(clip), outputs.len(), shape);
    let layer = format!("update/{}", group.name);
    graph.steps.push(Step { op: Arc::new(op), inputs, outputs, layer });
}
