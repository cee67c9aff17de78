//! Element-wise computation: a scalar expression over broadcast operands, with one or several
//! results.
//!
//! Operands broadcast as in NumPy. With `updates = u`, the first `u` outputs are read before they
//! are written; the program sees their old elements as operands after the inputs. Outputs cut into
//! ranges have operands that are one element for each, see [`Pointwise::in_ranges`].

mod code;
mod fit;
mod formula;
mod interpreter;
mod kernel;
mod launch;
mod layout;
mod loops;
mod ranges;

pub(crate) use interpreter::{Area, Interpreter, MAX_OUTPUTS, Source};
pub(super) use launch::{applied, loaded, parameters};

use serde::{Deserialize, Serialize};

use super::expression::{Builder, Expr, Node, Program};
use super::reduce::sum_to;
use super::{
    Access, BufferId, CallTypes, Case, CpuKernel, Family, Gradient, Launches, Live, Op, OpError,
    ReferenceCall, Target,
};
use crate::random;
use crate::tensor::{DType, Dim, Shape, TensorType};

/// Applies a [`Program`] to every element.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pointwise {
    program: Program,
    /// Gradients of all inputs, over the operands: inputs, outputs, upstream gradients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gradient: Option<Program>,
    /// Shape of the outputs, where it does not follow from the inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shape: Option<Shape>,
    #[serde(default)]
    updates: usize,
    /// Ends of the ranges that the outputs are cut into.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ranges: Vec<usize>,
}

impl Pointwise {
    /// One result from `inputs` operands.
    pub fn new(inputs: usize, expr: &Expr) -> Self {
        Self::from_program(Program::new(inputs, std::slice::from_ref(expr)))
    }

    /// The results of a program.
    pub fn from_program(program: Program) -> Self {
        Pointwise { program, gradient: None, shape: None, updates: 0, ranges: vec![] }
    }

    /// Results of a known shape; operands broadcast to it.
    pub fn with_shape(self, shape: Shape) -> Self {
        Pointwise { shape: Some(shape), ..self }
    }

    /// A derivative other than the symbolic one: one expression per input, over the operands
    /// inputs, outputs, upstream gradients. Where the derivative is simpler in the output, it
    /// saves reading the input.
    pub fn with_gradient(self, gradients: &[Expr]) -> Self {
        let operands = self.program.inputs() + 2 * self.program.outputs().len();
        Pointwise { gradient: Some(Program::new(operands, gradients)), ..self }
    }

    /// The first `updates` outputs are updated in place; the program's last operands are their old
    /// elements. Such a step has no derivative.
    pub fn updating(program: Program, updates: usize, shape: Shape) -> Self {
        Pointwise { shape: Some(shape), updates, ..Self::from_program(program) }
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Number of outputs that are updated in place.
    pub fn updates(&self) -> usize {
        self.updates
    }

    /// The explicit gradient for input `i`, or the symbolic one. Operands: inputs, outputs,
    /// upstream gradients.
    fn gradient_program(&self, i: usize, missing: &[bool]) -> Program {
        let (inputs, outputs) = (self.program.inputs(), self.program.outputs().len());
        let mut builder = Builder::new(inputs + 2 * outputs);
        let upstream: Vec<usize> = (0..outputs)
            .map(|j| match missing[j] {
                true => builder.push(Node::Constant(0.0)),
                false => builder.push(Node::Input(inputs + outputs + j)),
            })
            .collect();
        let direct = |builder: &mut Builder, range: std::ops::Range<usize>| -> Vec<usize> {
            range.map(|k| builder.push(Node::Input(k))).collect()
        };
        let result = match &self.gradient {
            Some(gradient) => {
                let mut operands = direct(&mut builder, 0..inputs + outputs);
                operands.extend(&upstream);
                builder.inline(gradient, &operands)[i]
            }
            None => {
                let mut operands = direct(&mut builder, 0..inputs);
                operands.extend(&upstream);
                builder.inline(&self.program.gradient(&[i]), &operands)[0]
            }
        };
        builder.finish(vec![result])
    }
}

/// The shape that operands of these shapes broadcast to.
pub fn broadcast(shapes: &[&Shape]) -> Result<Shape, OpError> {
    let rank = shapes.iter().map(|s| s.rank()).max().unwrap_or(0);
    let mut dims = vec![Dim::Fixed(1); rank];
    for shape in shapes {
        let offset = rank - shape.rank();
        for (have, &dim) in dims[offset..].iter_mut().zip(shape.dims()) {
            match (*have, dim) {
                (a, b) if a == b => {}
                (Dim::Fixed(1), b) => *have = b,
                (_, Dim::Fixed(1)) => {}
                _ => {
                    let list: Vec<_> = shapes.iter().map(|s| s.to_string()).collect();
                    return Err(OpError(format!(
                        "shapes {} do not broadcast: dimensions must be equal or 1, got {have} and {dim}",
                        list.join(" and ")
                    )));
                }
            }
        }
    }
    Ok(Shape(dims))
}

fn operand_type(ty: &TensorType) -> Result<(), OpError> {
    match ty.dtype {
        DType::F32 | DType::U32 => Ok(()),
        _ => Err(OpError(format!("operands must be f32 or u32, got {ty}"))),
    }
}

/// Checks that an operand broadcasts to outputs of this shape.
pub(crate) fn operand(ty: &TensorType, output: &Shape) -> Result<(), OpError> {
    operand_type(ty)?;
    match broadcast(&[&ty.shape, output])? == *output {
        true => Ok(()),
        false => Err(OpError(format!("an operand of shape {} does not fit {output}", ty.shape))),
    }
}

/// Operations for each element.
pub(crate) fn work(program: &Program) -> u64 {
    program.nodes().iter().filter(|n| n.operands().next().is_some()).count() as u64
}

/// Element strides of an operand inside the output's sizes: 0 where it is broadcast.
pub(crate) fn broadcast_strides(sizes: &[usize], output: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; output.len()];
    let offset = output.len() - sizes.len();
    let mut stride = 1;
    for i in (0..sizes.len()).rev() {
        if sizes[i] != 1 {
            strides[offset + i] = stride;
        }
        stride *= sizes[i];
    }
    strides
}

impl Op for Pointwise {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        if inputs.len() + self.updates != self.program.inputs() {
            return Err(OpError(format!(
                "the expression reads {} operands, got {}",
                self.program.inputs(),
                inputs.len() + self.updates
            )));
        }
        inputs.iter().try_for_each(operand_type)?;
        let inputs = self.within_range(inputs);
        let shapes: Vec<_> = inputs.iter().map(|t| &t.shape).collect();
        let mut shape = broadcast(&shapes)?;
        if let Some(wanted) = &self.shape {
            if broadcast(&[&shape, wanted])? != *wanted {
                return Err(OpError(format!("operands of shape {shape} do not fit {wanted}")));
            }
            shape = wanted.clone();
        }
        self.check_ranges(&shape)?;
        Ok(vec![TensorType::f32(shape); self.program.outputs().len()])
    }

    fn access(&self, output: usize) -> Access {
        if output < self.updates { Access::Update } else { Access::Overwrite }
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        let outputs = self.program.outputs().len();
        let missing: Vec<bool> = (0..outputs).map(|j| gradient.upstream(j).is_none()).collect();
        let shape = gradient.ty(gradient.output(0)).shape.clone();
        for i in (0..gradient.inputs().len()).filter(|&i| gradient.needs(i)).collect::<Vec<_>>() {
            let program = self.gradient_program(i, &missing);
            if program.nodes() == [Node::Constant(0.0)] {
                continue;
            }
            let mut operands: Vec<Option<BufferId>> = Vec::new();
            operands.extend(gradient.inputs().iter().copied().map(Some));
            operands.extend(gradient.outputs().iter().copied().map(Some));
            operands.extend((0..outputs).map(|j| gradient.upstream(j)));
            let (program, read) = compact(&program, &operands);
            let full = match (program.nodes(), read.as_slice()) {
                ([Node::Input(0)], &[value]) if gradient.ty(value).shape == shape => value,
                _ => gradient
                    .one(Pointwise::from_program(program).with_shape(shape.clone()), &read)?,
            };
            let wanted = gradient.ty(gradient.input(i)).shape.clone();
            let result = sum_to(&mut gradient.emitter, full, &wanted)?;
            gradient.set(i, result);
        }
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let sizes = call.output_sizes(0);
        let spread = self.spread(call);
        let inputs = call.inputs.iter().zip(&spread).enumerate().map(|(i, (&x, all))| match all {
            Some(all) => (all.as_slice(), sizes.clone()),
            None => (x, call.input_sizes(i)),
        });
        let old = call.outputs[..self.updates].iter().map(|&old| (old, sizes.clone()));
        let operands: Vec<_> = inputs.chain(old).collect();
        apply(&self.program, &sizes, &operands, &call.live)
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        match self.ranges.is_empty() {
            true => Box::new(kernel::PointwiseKernel::new(self, types)),
            false => Box::new(ranges::RangesKernel::new(self, types)),
        }
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        Some(launch::launches(self, types, capacity, target))
    }

    fn as_pointwise(&self) -> Option<&Pointwise> {
        Some(self)
    }

    fn label(&self) -> String {
        format!("pointwise {}", self.program)
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        work(&self.program) * types.outputs[0].shape.elements(rows) as u64
    }
}

/// The definition: the program on every element, operands (with their sizes) broadcast to `sizes`.
pub(crate) fn apply(
    program: &Program,
    sizes: &[usize],
    operands: &[(&[f64], Vec<usize>)],
    live: &Live,
) -> Vec<Vec<f64>> {
    let strides: Vec<_> = operands.iter().map(|(_, own)| broadcast_strides(own, sizes)).collect();
    let count: usize = sizes.iter().product();
    let mut results = vec![Vec::with_capacity(count); program.outputs().len()];
    for element in 0..count {
        let index = |strides: &[usize]| {
            let (mut rest, mut at) = (element, 0);
            for (size, stride) in sizes.iter().zip(strides).rev() {
                at += rest % size * stride;
                rest /= size;
            }
            at
        };
        let elements: Vec<f64> =
            operands.iter().zip(&strides).map(|((x, _), s)| x[index(s)]).collect();
        let uniform =
            |stream| f64::from(random::uniform(live.seed, stream, live.step, element as u64));
        let values = program.evaluate(&elements, uniform);
        results.iter_mut().zip(values).for_each(|(result, value)| result.push(value));
    }
    results
}

/// Leaves out the operands that a program does not read, and joins equal ones. Operands without a
/// buffer are left out too, except the first ones.
pub(crate) fn compact(
    program: &Program,
    operands: &[Option<BufferId>],
) -> (Program, Vec<BufferId>) {
    let fixed = operands.iter().take_while(|operand| operand.is_none()).count();
    let mut read: Vec<BufferId> = Vec::new();
    let mut slots: Vec<Option<usize>> = Vec::new();
    for (i, operand) in operands.iter().enumerate() {
        slots.push(match operand {
            Some(id) if program.reads(i) => {
                let place = read.iter().position(|r| r == id).unwrap_or(read.len());
                if place == read.len() {
                    read.push(*id);
                }
                Some(fixed + place)
            }
            None if i < fixed => Some(i),
            _ => None,
        });
    }
    let mut builder = Builder::new(fixed + read.len());
    let nodes: Vec<usize> = slots
        .iter()
        .map(|slot| slot.map_or(usize::MAX, |slot| builder.push(Node::Input(slot))))
        .collect();
    let outputs = builder.inline(program, &nodes);
    (builder.finish(outputs), read)
}

impl Family for Pointwise {
    const NAME: &'static str = "pointwise";

    fn cases() -> Vec<Case> {
        let (x, y, z) = (Expr::input(0), Expr::input(1), Expr::input(2));
        let rows = |dims: &[usize]| TensorType::f32(Shape::rows(dims));
        let fixed = |dims: &[usize]| TensorType::f32(Shape::fixed(dims));
        let unary = |e: Expr| Case::new(Pointwise::new(1, &e), vec![rows(&[7])], 5);
        let positive = |e: Expr| unary(e).range(0.1, 3.0);
        let binary = |e: &Expr, a, b| Case::new(Pointwise::new(2, e), vec![a, b], 3);
        let mut cases = vec![
            unary(x.abs()),
            unary(x.exp()),
            unary(x.expm1()),
            positive(x.log()),
            positive(x.log1p()),
            positive(x.sqrt()),
            unary(x.sigmoid()),
            unary(x.tanh()),
            unary(x.erf()),
            unary(x.sin()),
            unary(x.cos()),
            unary(x.softplus()),
            unary(x.floor() + x.sign() - &x),
            unary(x.less(0.0).select(x.square(), -&x)),
            unary(Expr::uniform(5).less(0.5).select(0.0, &x * 2.0)),
            Case::new(Pointwise::new(1, &(&x * 3.0)), vec![rows(&[1031])], 17),
            Case::new(Pointwise::new(1, &x.square()), vec![fixed(&[1])], 1),
        ];
        for e in [&x + &y, &x - &y, &x * &y, &x / (y.square() + 1.0), x.max(&y), x.min(&y)] {
            cases.push(binary(&e, rows(&[2, 5]), rows(&[2, 5])));
            cases.push(binary(&e, rows(&[2, 5]), fixed(&[5])));
            cases.push(binary(&e, fixed(&[2, 1]), rows(&[2, 5])));
            cases.push(binary(&e, rows(&[1, 1]), fixed(&[1])));
            cases.push(binary(&e, rows(&[7, 1]), rows(&[1, 3])));
        }
        cases.push(binary(&x.pow(&y), rows(&[3]), rows(&[3])).range(0.2, 2.0));
        let three = Pointwise::new(3, &(x.less(&y).select(&z * &x, &z + y.tanh())));
        cases.push(Case::new(three, vec![rows(&[3, 4]), fixed(&[4]), rows(&[1, 4])], 2));
        let two = Pointwise::from_program(Program::new(2, &[&x * &y, &x + y.exp()]));
        cases.push(Case::new(two, vec![rows(&[9]), rows(&[9])], 4));
        cases.push(ranges::case());
        cases
    }
}

#[cfg(test)]
mod tests;
