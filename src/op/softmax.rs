//! Softmax and its logarithm over the last dimension.
//!
//! `softmax(x) = exp(x − m) / Σ exp(x − m)` and `log_softmax(x) = x − m − log Σ exp(x − m)` with `m`
//! the largest element of the row. Both derivatives are written in the output `y`, so the input need
//! not be kept: `dx = y (g − Σ g y)`, and `dx = g − exp(y) Σ g` for the logarithm.

use serde::{Deserialize, Serialize};

use super::launch::{self, Argument, Launches, Target};
use super::rows::{RowLaunch, Rows, largest, total, total_of_pairs};
use super::{
    CallTypes, Case, CpuKernel, Family, Gradient, Live, Op, OpError, Operand, ReferenceCall, Split,
    TaskIo,
};
use crate::cpu::{math, simd};
use crate::tensor::{DType, Shape, TensorType};

/// Input: x. Output: the same shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Softmax {
    /// Whether the logarithm is taken.
    pub log: bool,
}

/// Inputs: output of the forward op, upstream gradient. Output: gradient of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoftmaxGradient {
    /// Whether the logarithm was taken.
    pub log: bool,
}

fn check(input: &TensorType) -> Result<(), OpError> {
    if input.dtype != DType::F32 || input.shape.last().is_none_or(|width| width == 0) {
        return Err(OpError(format!(
            "softmax takes f32 with a last dimension of known size, got {input}"
        )));
    }
    Ok(())
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [input] = inputs else {
            return Err(OpError(format!("softmax takes one input, got {}", inputs.len())));
        };
        check(input)?;
        Ok(vec![input.clone()])
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        if let (Some(upstream), true) = (gradient.upstream(0), gradient.needs(0)) {
            let operands = [gradient.output(0), upstream];
            let result = gradient.one(SoftmaxGradient { log: self.log }, &operands)?;
            gradient.set(0, result);
        }
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let width = call.input_sizes(0).pop().unwrap_or(1);
        let mut result = Vec::new();
        for x in call.inputs[0].chunks(width) {
            let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = x.iter().map(|x| (x - largest).exp()).sum();
            result.extend(x.iter().map(|x| match self.log {
                false => (x - largest).exp() / sum,
                true => x - largest - sum.ln(),
            }));
        }
        vec![result]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Kernel { rows: Rows::new(&types.inputs[0], 1), log: self.log, gradient: false })
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let arguments = vec![Argument::Input(0), Argument::Output(0)];
        let kernel = launch::Kernel::new("softmax").constant("LOG", u32::from(self.log));
        let launch = RowLaunch { kernel, entry: "softmax", arrays: 1, arguments };
        Some(launch.over(&Rows::new(&types.inputs[0], 1), types, capacity, target))
    }

    fn label(&self) -> String {
        if self.log { "log softmax".into() } else { "softmax".into() }
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        4 * types.inputs[0].shape.elements(rows) as u64
    }
}

impl Op for SoftmaxGradient {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [output, upstream] = inputs else {
            return Err(OpError(format!("takes output and gradient, got {}", inputs.len())));
        };
        check(output)?;
        if upstream != output {
            return Err(OpError(format!("expected a gradient {output}, got {upstream}")));
        }
        Ok(vec![output.clone()])
    }

    fn backward(&self, _gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        Err(OpError("second derivatives are not supported".into()))
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let width = call.input_sizes(0).pop().unwrap_or(1);
        let mut result = Vec::new();
        for (y, g) in call.inputs[0].chunks(width).zip(call.inputs[1].chunks(width)) {
            let sum: f64 = y.iter().zip(g).map(|(y, g)| if self.log { *g } else { g * y }).sum();
            result.extend(y.iter().zip(g).map(|(y, g)| match self.log {
                false => y * (g - sum),
                true => g - y.exp() * sum,
            }));
        }
        vec![result]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Kernel { rows: Rows::new(&types.inputs[0], 1), log: self.log, gradient: true })
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let arguments = vec![Argument::Input(0), Argument::Input(1), Argument::Output(0)];
        let kernel = launch::Kernel::new("softmax").constant("LOG", u32::from(self.log));
        let launch = RowLaunch { kernel, entry: "softmax_gradient", arrays: 2, arguments };
        Some(launch.over(&Rows::new(&types.inputs[0], 1), types, capacity, target))
    }

    fn label(&self) -> String {
        if self.log { "log softmax gradient".into() } else { "softmax gradient".into() }
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        4 * types.inputs[0].shape.elements(rows) as u64
    }
}

/// Both directions: each row of the output depends on the same row of the inputs.
struct Kernel {
    rows: Rows,
    log: bool,
    gradient: bool,
}

impl CpuKernel for Kernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.rows.tasks(live)
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        self.rows.chunks(self.rows.width)
    }

    fn run(&self, _phase: usize, task: usize, _live: &Live, io: &mut TaskIo<'_>) {
        simd::dispatch(Task { kernel: self, task, io });
    }
}

struct Task<'a, 'b> {
    kernel: &'a Kernel,
    task: usize,
    io: &'a TaskIo<'b>,
}

impl simd::Vectorised for Task<'_, '_> {
    #[inline(always)]
    fn run(self) {
        let Task { kernel, task, io } = self;
        let width = kernel.rows.width;
        let target = io.output(0);
        let first = task * kernel.rows.per_task() * width;
        let input = &io.input(0)[first..][..target.len()];
        let rows = target.chunks_mut(width).zip(input.chunks(width));
        if !kernel.gradient {
            // A loop and no closure: a closure is compiled for the baseline's instructions.
            for (target, x) in rows {
                forward(kernel.log, x, target);
            }
            return;
        }
        let upstream = &io.input(1)[first..][..input.len()];
        for ((target, y), g) in rows.zip(upstream.chunks(width)) {
            backward(kernel.log, y, g, target);
        }
    }
}

#[inline(always)]
fn forward(log: bool, x: &[f32], target: &mut [f32]) {
    let largest = largest(x);
    if log {
        let log_sum = math::log(total(x, |x| math::exp(x - largest)));
        for (y, &x) in target.iter_mut().zip(x) {
            *y = (x - largest) - log_sum;
        }
        return;
    }
    for (y, &x) in target.iter_mut().zip(x) {
        *y = math::exp(x - largest);
    }
    let scale = 1.0 / total(target, |y| y);
    target.iter_mut().for_each(|y| *y *= scale);
}

#[inline(always)]
fn backward(log: bool, y: &[f32], g: &[f32], target: &mut [f32]) {
    if log {
        let sum = total(g, |g| g);
        for ((dx, &y), &g) in target.iter_mut().zip(y).zip(g) {
            *dx = g - math::exp(y) * sum;
        }
        return;
    }
    let sum = total_of_pairs(g, y, |g, y| g * y);
    for ((dx, &y), &g) in target.iter_mut().zip(y).zip(g) {
        *dx = y * (g - sum);
    }
}

fn examples() -> impl Iterator<Item = (bool, TensorType, usize)> {
    let shapes = [(vec![1], 3), (vec![7], 5), (vec![3, 5], 2), (vec![37], 300), (vec![25001], 1)];
    let all = [false, true].into_iter().flat_map(move |log| {
        shapes.clone().map(|(dims, rows)| (log, TensorType::f32(Shape::rows(&dims)), rows))
    });
    all.chain([(false, TensorType::f32(Shape::fixed(&[11])), 1)])
}

impl Family for Softmax {
    const NAME: &'static str = "softmax";

    fn cases() -> Vec<Case> {
        examples().map(|(log, ty, rows)| Case::new(Softmax { log }, vec![ty], rows)).collect()
    }
}

impl Family for SoftmaxGradient {
    const NAME: &'static str = "softmax_gradient";

    fn cases() -> Vec<Case> {
        examples()
            .map(|(log, ty, rows)| {
                let inputs = vec![ty.clone(), ty];
                Case::new(SoftmaxGradient { log }, inputs, rows).gradients(&[], &[])
            })
            .collect()
    }
}
