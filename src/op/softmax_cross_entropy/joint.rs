//! The loss and its gradient in one pass over the logits, where it is known beforehand what each row's
//! loss weighs. `plan/fuse.rs` puts it in place of the loss, its sum and the gradient.

use serde::{Deserialize, Serialize};

use super::kernel::{self, Form};
use super::{
    EXAMPLES, SoftmaxCrossEntropy, SoftmaxCrossEntropyGradient, check, example, launches, row_shape,
};
use crate::op::launch::{Argument, Launches, Target};
use crate::op::{CallTypes, Case, CpuKernel, Family, Gradient, Op, OpError, ReferenceCall};
use crate::tensor::{Shape, TensorType};

/// Inputs: logits `[B, classes]`, target, upstream gradient per row or `[1]` for all of them.
/// Outputs: the sum over rows of loss times upstream, `[1]`; gradient of the logits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxCrossEntropyWithGradient {
    /// ε in 0..1.
    pub label_smoothing: f64,
}

impl Op for SoftmaxCrossEntropyWithGradient {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [logits, _, upstream] = inputs else {
            return Err(OpError(format!("takes three inputs, got {}", inputs.len())));
        };
        check(inputs, self.label_smoothing)?;
        let single = TensorType::f32(Shape::fixed(&[1]));
        let by_row = TensorType::f32(row_shape(logits));
        if *upstream != single && *upstream != by_row {
            return Err(OpError(format!("expected {by_row} or {single}, got {upstream}")));
        }
        Ok(vec![single, logits.clone()])
    }

    fn backward(&self, _gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        Err(OpError("second derivatives are not supported".into()))
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let Self { label_smoothing } = *self;
        let rows = row_shape(&call.types.inputs[0]);
        let count = rows.elements(call.live.rows);
        let upstream = call.inputs[2];
        let upstream: Vec<f64> = (0..count).map(|row| upstream[row % upstream.len()]).collect();
        let row = TensorType::f32(rows);
        let mut types = call.types.clone();
        types.inputs.truncate(2);
        types.outputs = vec![row.clone(); 2];
        let inputs = call.inputs[..2].to_vec();
        let forward = ReferenceCall { types: &types, inputs, outputs: vec![], ..*call };
        let [losses, sums] = SoftmaxCrossEntropy { label_smoothing }
            .reference(&forward)
            .try_into()
            .expect("invariant: two outputs");
        types.inputs.extend([row.clone(), row]);
        types.outputs = vec![call.types.inputs[0].clone()];
        let inputs = vec![call.inputs[0], call.inputs[1], &sums, &upstream];
        let backward = ReferenceCall { types: &types, inputs, outputs: vec![], ..*call };
        let gradient = SoftmaxCrossEntropyGradient { label_smoothing }.reference(&backward);
        let total = losses.iter().zip(&upstream).map(|(loss, upstream)| loss * upstream).sum();
        [vec![vec![total]], gradient].concat()
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(kernel::Kernel::new(self.label_smoothing, types, Form::Both))
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let (input, output) = (Argument::Input, Argument::Output);
        let mut arguments = vec![input(0), input(1), input(1), input(2), output(0), output(1)];
        arguments.extend([Argument::Scratch(0), Argument::Tickets]);
        let entry = ("softmax_cross_entropy_with_gradient", Form::Both, arguments);
        let launches = launches(self.label_smoothing, types, capacity, target, entry);
        let rows = row_shape(&types.inputs[0]).elements(capacity);
        Some(Launches { scratch: rows * size_of::<f32>(), tickets: 1, ..launches })
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        7 * types.inputs[0].shape.elements(rows) as u64
    }
}

impl Family for SoftmaxCrossEntropyWithGradient {
    const NAME: &'static str = "softmax_cross_entropy_with_gradient";

    fn cases() -> Vec<Case> {
        let case = |&(classes, soft, label_smoothing, rows): &(usize, bool, f64, usize), single| {
            let mut inputs = example(classes, soft);
            let upstream = if single { Shape::fixed(&[1]) } else { Shape::rows(&[]) };
            inputs.push(TensorType::f32(upstream));
            let case = Case::new(SoftmaxCrossEntropyWithGradient { label_smoothing }, inputs, rows);
            case.integers(1, classes as u32).gradients(&[], &[])
        };
        let mut cases: Vec<_> = EXAMPLES.iter().map(|example| case(example, false)).collect();
        cases.extend(EXAMPLES[..5].iter().map(|example| case(example, true)));
        // Several tasks and several blocks, whose losses are joined.
        cases.extend([case(&(3, false, 0.0, 9001), false), case(&(33, true, 0.0, 1003), true)]);
        cases
    }
}
