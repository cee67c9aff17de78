//! Layer norm over the last dimensions (Ba et al. 2016), with its gradient.
//!
//! `y = x̂ weight + bias`, `x̂ = (x − mean) r`, `r = 1 / √(variance + ε)`; mean and variance (divided
//! by the count, in two passes) are those of a row: the last `axes` dimensions. With
//! `h = g weight`, the gradients are `dx = r (h − mean(h) − x̂ mean(h x̂))`, `dweight = Σ g x̂` and
//! `dbias = Σ g` over rows. [`rms_norm`](super::rms_norm) is the same with a mean of 0 and shares
//! the kernels: `centred` tells them apart.

mod kernel;
pub(super) mod launch;

use serde::{Deserialize, Serialize};

use super::launch::{Launches, Target};
use super::{CallTypes, Case, CpuKernel, Family, Gradient, Op, OpError, ReferenceCall};
use crate::tensor::{DType, Dim, Shape, TensorType};
pub(super) use kernel::{Backward, Forward};

/// Inputs: x, then weight, then bias, the last two of the normalised shape and both optional.
/// Outputs: y, mean and reciprocal deviation of each row, with normalised dimensions of 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNorm {
    /// How many dimensions, counted from the last, are normalised together.
    pub axes: usize,
    /// ε, added to the variance.
    pub epsilon: f64,
}

/// Inputs: x, mean, reciprocal deviation, upstream gradient, and the weight if there is one.
/// Outputs: gradients of x, of the weight if there is one, and of the bias if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNormGradient {
    /// How many dimensions, counted from the last, are normalised together.
    pub axes: usize,
    /// Whether there is a bias, which takes a weight.
    pub bias: bool,
}

/// Checks x and the parameters of a norm; returns the type of a statistic.
pub(super) fn check(
    x: &TensorType,
    parameters: &[TensorType],
    axes: usize,
) -> Result<TensorType, OpError> {
    let rank = x.shape.rank();
    if x.dtype != DType::F32 || axes == 0 || axes > rank {
        return Err(OpError(format!(
            "a norm over {axes} dimensions takes as many of f32, got {x}"
        )));
    }
    let (rows, last) = x.shape.dims().split_at(rank - axes);
    if last.iter().any(|d| d.fixed().is_none_or(|n| n == 0)) {
        return Err(OpError(format!("the normalised dimensions must have known sizes, got {x}")));
    }
    let wanted = TensorType::f32(Shape(last.to_vec()));
    if let Some(wrong) = parameters.iter().find(|p| **p != wanted) {
        return Err(OpError(format!("weight and bias must be {wanted}, got {wrong}")));
    }
    let ones = std::iter::repeat_n(Dim::Fixed(1), axes);
    Ok(TensorType::f32(Shape(rows.iter().copied().chain(ones).collect())))
}

/// Checks the inputs of a norm's gradient: x, statistics, upstream gradient, weight if there is one.
pub(super) fn check_gradient(
    inputs: &[TensorType],
    statistics: usize,
    axes: usize,
    bias: bool,
) -> Result<Vec<TensorType>, OpError> {
    let expected = statistics + 2;
    if inputs.len() != expected && inputs.len() != expected + 1 {
        return Err(OpError(format!("takes {expected} inputs and a weight, got {}", inputs.len())));
    }
    let x = &inputs[0];
    let statistic = check(x, &inputs[expected..], axes)?;
    if inputs[1..=statistics].iter().any(|s| *s != statistic) || inputs[statistics + 1] != *x {
        return Err(OpError(format!("expected statistics {statistic} and a gradient {x}")));
    }
    if bias && inputs.len() == expected {
        return Err(OpError("a norm has a bias only with a weight".into()));
    }
    let parameters = inputs[expected..].iter().flat_map(|w| vec![w; 1 + usize::from(bias)]);
    Ok(std::iter::once(x).chain(parameters).cloned().collect())
}

pub(super) fn check_epsilon(epsilon: f64) -> Result<(), OpError> {
    if !(epsilon.is_finite() && epsilon >= 0.0) {
        return Err(OpError(format!("epsilon must be finite and not negative, got {epsilon}")));
    }
    Ok(())
}

/// Emits the gradients of x and of the parameters by `op`.
pub(super) fn emit_gradients(gradient: &mut Gradient<'_>, op: impl Op) -> Result<(), OpError> {
    if (1..gradient.outputs().len()).any(|i| gradient.upstream(i).is_some()) {
        return Err(OpError("the statistics of a norm have no gradient".into()));
    }
    let Some(upstream) = gradient.upstream(0) else {
        return Ok(());
    };
    let inputs = gradient.inputs().to_vec();
    let mut operands = vec![inputs[0]];
    operands.extend(&gradient.outputs()[1..]);
    operands.push(upstream);
    operands.extend(inputs.get(1));
    for (i, result) in gradient.emitter.call(op, &operands)?.into_iter().enumerate() {
        gradient.set(i, result);
    }
    Ok(())
}

/// The definition of a norm: y, mean (0 if not centred) and reciprocal deviation.
pub(super) fn reference(
    call: &ReferenceCall<'_>,
    axes: usize,
    epsilon: f64,
    centred: bool,
) -> [Vec<f64>; 3] {
    let width = width(&call.input_sizes(0), axes);
    let (weight, bias) = (call.inputs.get(1), call.inputs.get(2));
    let [mut y, mut means, mut reciprocals] = [vec![], vec![], vec![]];
    for x in call.inputs[0].chunks(width) {
        let count = width as f64;
        let mean = if centred { x.iter().sum::<f64>() / count } else { 0.0 };
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count;
        let reciprocal = 1.0 / (variance + epsilon).sqrt();
        y.extend(x.iter().enumerate().map(|(i, x)| {
            let scale = weight.map_or(1.0, |w| w[i]);
            (x - mean) * reciprocal * scale + bias.map_or(0.0, |b| b[i])
        }));
        means.push(mean);
        reciprocals.push(reciprocal);
    }
    [y, means, reciprocals]
}

/// The definition of a norm's gradients.
pub(super) fn reference_gradient(
    call: &ReferenceCall<'_>,
    axes: usize,
    centred: bool,
) -> Vec<Vec<f64>> {
    let width = width(&call.input_sizes(0), axes);
    let at = usize::from(centred) + 1;
    let (reciprocals, upstream, weight) =
        (call.inputs[at], call.inputs[at + 1], call.inputs.get(at + 2));
    let mut result = Vec::new();
    let mut parameters = vec![vec![0.0; width]; call.types.outputs.len() - 1];
    for (row, x) in call.inputs[0].chunks(width).enumerate() {
        let (count, reciprocal) = (width as f64, reciprocals[row]);
        let mean = if centred { call.inputs[1][row] } else { 0.0 };
        let normal: Vec<f64> = x.iter().map(|x| (x - mean) * reciprocal).collect();
        let g = &upstream[row * width..][..width];
        let h: Vec<f64> =
            g.iter().enumerate().map(|(i, g)| g * weight.map_or(1.0, |w| w[i])).collect();
        let offset = if centred { h.iter().sum::<f64>() / count } else { 0.0 };
        let slope = h.iter().zip(&normal).map(|(h, n)| h * n).sum::<f64>() / count;
        result.extend(h.iter().zip(&normal).map(|(h, n)| reciprocal * (h - offset - n * slope)));
        for (k, sums) in parameters.iter_mut().enumerate() {
            let terms = g.iter().zip(&normal).map(|(g, n)| if k == 0 { g * n } else { *g });
            sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
    }
    [vec![result], parameters].concat()
}

fn width(sizes: &[usize], axes: usize) -> usize {
    sizes[sizes.len() - axes..].iter().product()
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let ([x] | [x, _] | [x, _, _]) = inputs else {
            return Err(OpError(format!("takes x, weight and bias, got {}", inputs.len())));
        };
        check_epsilon(self.epsilon)?;
        let statistic = check(x, &inputs[1..], self.axes)?;
        Ok(vec![x.clone(), statistic.clone(), statistic])
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        let bias = gradient.inputs().len() > 2;
        emit_gradients(gradient, LayerNormGradient { axes: self.axes, bias })
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        reference(call, self.axes, self.epsilon, true).into()
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Forward::new(types, self.axes, self.epsilon, true))
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        Some(launch::forward((types, capacity, target), self.axes, self.epsilon, true))
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        8 * types.inputs[0].shape.elements(rows) as u64
    }
}

impl Op for LayerNormGradient {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        check_gradient(inputs, 2, self.axes, self.bias)
    }

    fn backward(&self, _gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        Err(OpError("second derivatives are not supported".into()))
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        reference_gradient(call, self.axes, true)
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Backward::new(types, self.axes, true))
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        Some(launch::backward((types, capacity, target), self.axes, true))
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        12 * types.inputs[0].shape.elements(rows) as u64
    }
}

/// Shapes of x, normalised dimensions, rows in use.
pub(super) fn examples() -> [(Vec<usize>, usize, usize); 9] {
    [
        (vec![7], 1, 4),
        (vec![3, 5], 1, 2),
        (vec![3, 5], 2, 2),
        (vec![1], 1, 3),
        (vec![37], 1, 300),
        (vec![25004], 1, 2),
        (vec![25003], 1, 3),
        (vec![132], 1, 700),
        (vec![1500], 1, 5),
    ]
}

impl Family for LayerNorm {
    const NAME: &'static str = "layer_norm";

    fn cases() -> Vec<Case> {
        let make = |(dims, axes, rows): (Vec<usize>, usize, usize), parameters, epsilon| {
            let parameter = TensorType::f32(Shape::fixed(&dims[dims.len() - axes..]));
            let mut inputs = vec![TensorType::f32(Shape::rows(&dims))];
            inputs.resize(1 + parameters, parameter);
            let wanted: Vec<usize> = (0..=parameters).collect();
            Case::new(LayerNorm { axes, epsilon }, inputs, rows).gradients(&[0], &wanted)
        };
        let mut cases: Vec<_> = examples().into_iter().map(|e| make(e, 2, 1e-2)).collect();
        cases.extend([make((vec![6], 1, 3), 0, 1e-5), make((vec![6], 1, 3), 1, 1e-5)]);
        cases
    }
}

impl Family for LayerNormGradient {
    const NAME: &'static str = "layer_norm_gradient";

    fn cases() -> Vec<Case> {
        examples()
            .into_iter()
            .enumerate()
            .map(|(i, (dims, axes, rows))| {
                let x = TensorType::f32(Shape::rows(&dims));
                let parameter = TensorType::f32(Shape::fixed(&dims[dims.len() - axes..]));
                let statistic = check(&x, &[], axes).expect("invariant: examples fit");
                let mut inputs = vec![x.clone(), statistic.clone(), statistic, x, parameter];
                let bias = i % 3 == 0;
                inputs.truncate(if bias || i % 3 == 1 { 5 } else { 4 });
                Case::new(LayerNormGradient { axes, bias }, inputs, rows).gradients(&[], &[])
            })
            .collect()
    }
}
