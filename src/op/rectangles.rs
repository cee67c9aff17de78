//! Rectangles of images, each row having its own: a mask.
//!
//! `y[b, 0, i, j]` is 1 where `top ≤ i < bottom` and `left ≤ j < right` for one of the row's
//! rectangles, else 0.

use serde::{Deserialize, Serialize};

use super::launch::{Argument, Kernel as CudaKernel, Launch, Launches, Target, is_wide};
use super::{
    CallTypes, Case, CpuKernel, Family, Gradient, Live, Op, OpError, Operand, ReferenceCall, Split,
    TaskIo,
};
use crate::tensor::{DType, Dim, Shape, TensorType};

/// Inputs: top, bottom, left and right `[B]` of each rectangle. Output: `[B, 1, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rectangles {
    /// Height of an image.
    pub height: usize,
    /// Width of an image.
    pub width: usize,
}

/// Rectangles of an image at most: their addresses stay in registers.
const MOST: usize = 8;

impl Op for Rectangles {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let count = inputs.len() / 4;
        if !(1..=MOST).contains(&count) || !inputs.len().is_multiple_of(4) {
            return Err(OpError(format!(
                "rectangles take four numbers a row for each of 1 to {MOST}, got {}",
                inputs.len()
            )));
        }
        let [batch @ Dim::Rows(_)] = *inputs[0].shape.dims() else {
            return Err(OpError(format!("rectangles take f32[B], got {}", inputs[0])));
        };
        if let Some(other) = inputs.iter().find(|ty| **ty != inputs[0] || ty.dtype != DType::F32) {
            return Err(OpError(format!("rectangles take f32[B], got {other}")));
        }
        let sizes = [1, self.height, self.width].map(Dim::Fixed);
        let shape = Shape([&[batch], &sizes[..]].concat());
        match shape.checked_elements(1) {
            Some(1..) => Ok(vec![TensorType::f32(shape)]),
            _ => Err(OpError(format!("{shape} has no elements or too many"))),
        }
    }

    fn backward(&self, _gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        Err(OpError("a mask of rectangles has no gradient".into()))
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let mut result = Vec::new();
        for row in 0..call.live.rows {
            for i in 0..self.height {
                for j in 0..self.width {
                    let inside = call.inputs.chunks(4).any(|edges| {
                        let [top, bottom, left, right] = std::array::from_fn(|k| edges[k][row]);
                        let (i, j) = (i as f64, j as f64);
                        top <= i && i < bottom && left <= j && j < right
                    });
                    result.push(f64::from(u8::from(inside)));
                }
            }
        }
        vec![result]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Kernel { op: *self, inputs: types.inputs.len() })
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let count = types.inputs.len();
        let parameters: String =
            (0..count).map(|k| format!(", const float* __restrict__ x{k}")).collect();
        let tests: Vec<_> = (0..count)
            .step_by(4)
            .map(|k| {
                let [top, bottom, left, right] = [k, k + 1, k + 2, k + 3];
                format!(
                    "        inside |= x{top}[row] <= i && i < x{bottom}[row] && \
                     x{left}[row] <= j && j < x{right}[row];"
                )
            })
            .collect();
        let kernel = CudaKernel::new("rectangles")
            .constant("WIDE", u32::from(is_wide([&types.outputs[0].shape], capacity)))
            .constant("HEIGHT", self.height)
            .constant("WIDTH", self.width)
            .size("ROWS", &types.inputs[0].shape)
            .printed("parameters", parameters)
            .printed("body", tests.join("\n"));
        let items = types.outputs[0].shape.elements(capacity);
        let inputs = (0..count).map(Argument::Input);
        let arguments = std::iter::once(Argument::Live).chain(inputs).chain([Argument::Output(0)]);
        Some(Launches::one(Launch {
            kernel,
            entry: "rectangles",
            grid: [target.blocks(items, THREADS), 1, 1],
            threads: THREADS,
            shared: 0,
            arguments: arguments.collect(),
        }))
    }
}

/// Threads of a block of the CUDA form.
const THREADS: u32 = 256;
/// Elements per task, unless an image has more.
const ELEMENTS: usize = 1 << 14;

struct Kernel {
    op: Rectangles,
    inputs: usize,
}

impl Kernel {
    fn elements(&self) -> usize {
        self.op.height * self.op.width
    }

    fn images_per_task(&self) -> usize {
        (ELEMENTS / self.elements()).max(1)
    }
}

impl CpuKernel for Kernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        live.rows.div_ceil(self.images_per_task())
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(self.images_per_task() * self.elements())
    }

    fn run(&self, _phase: usize, task: usize, _live: &Live, io: &mut TaskIo<'_>) {
        let first = task * self.images_per_task();
        // The whole numbers from an edge on are those from the next whole number on; what is not a
        // number begins nowhere and ends at once.
        let begin = |x: f32, size: usize| if x >= 0.0 { x.ceil() as usize } else { 0 }.min(size);
        for (k, image) in io.output(0).chunks_mut(self.elements()).enumerate() {
            image.fill(0.0);
            for at in (0..self.inputs).step_by(4) {
                let edges: [f32; 4] = std::array::from_fn(|n| io.input(at + n)[first + k]);
                if edges.iter().any(|x| x.is_nan()) {
                    continue;
                }
                let rows = begin(edges[0], self.op.height)..begin(edges[1], self.op.height);
                let columns = begin(edges[2], self.op.width)..begin(edges[3], self.op.width);
                if !columns.is_empty() {
                    for i in rows {
                        image[i * self.op.width..][columns.clone()].fill(1.0);
                    }
                }
            }
        }
    }
}

impl Family for Rectangles {
    const NAME: &'static str = "rectangles";

    fn cases() -> Vec<Case> {
        let case = |count: usize, height, width, rows| {
            let inputs = vec![TensorType::f32(Shape::rows(&[])); 4 * count];
            let case = Case::new(Rectangles { height, width }, inputs, rows).range(-2.0, 9.0);
            case.gradients(&[], &[])
        };
        vec![case(1, 1, 1, 1), case(1, 7, 5, 13), case(3, 8, 11, 17), case(8, 1, 131, 5)]
    }
}
