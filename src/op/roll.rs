//! Rows of the batch moved on, the last ones coming first (`torch.roll` along the first dimension):
//! `y[(b + shift) mod B] = x[b]`, B being the rows in use. The gradient is moved back.

use serde::{Deserialize, Serialize};

use super::launch::{Argument, Kernel as CudaKernel, Launch, Launches, Target, is_wide};
use super::{
    CallTypes, Case, CpuKernel, Family, Gradient, Live, Op, OpError, Operand, ReferenceCall, Split,
    TaskIo,
};
use crate::tensor::{DType, Shape, TensorType};

/// Input: rows, f32 or u32. Output: the same type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roll {
    /// How many rows later each row comes.
    pub shift: i32,
}

impl Roll {
    /// The same, as a number of rows below that of the batch.
    fn within(self, rows: usize) -> usize {
        (i64::from(self.shift)).rem_euclid(rows.max(1) as i64) as usize
    }
}

impl Op for Roll {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [input] = inputs else {
            return Err(OpError(format!("roll takes one input, got {}", inputs.len())));
        };
        match input.shape.has_rows() && matches!(input.dtype, DType::F32 | DType::U32) {
            true => Ok(vec![input.clone()]),
            false => Err(OpError(format!("roll takes rows of f32 or u32, [B, ..], got {input}"))),
        }
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        if let (Some(upstream), true) = (gradient.upstream(0), gradient.needs(0)) {
            let result = gradient.one(Roll { shift: self.shift.wrapping_neg() }, &[upstream])?;
            gradient.set(0, result);
        }
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let (rows, input) = (call.live.rows, call.inputs[0]);
        let width = input.len() / rows.max(1);
        let mut result = vec![0.0; input.len()];
        for row in 0..rows {
            let to = (row as i64 + i64::from(self.shift)).rem_euclid(rows as i64) as usize;
            for j in 0..width {
                result[to * width + j] = input[row * width + j];
            }
        }
        vec![result]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Kernel { op: *self, ty: types.inputs[0].clone() })
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let shape = &types.inputs[0].shape;
        let width = shape.elements(1);
        if width * capacity == 0 {
            return Some(Launches::default());
        }
        let pieces = if width.is_multiple_of(4) { width / 4 } else { width };
        let kernel = CudaKernel::new("roll")
            .constant("WIDE", u32::from(is_wide([shape], capacity)))
            .constant("VECTOR", u32::from(pieces < width))
            .constant("PIECES", pieces)
            .constant("SHIFT", self.shift)
            .size("ROWS", &Shape::rows(&[]));
        Some(Launches::one(Launch {
            kernel,
            entry: "roll",
            grid: [target.blocks(capacity * pieces, THREADS), 1, 1],
            threads: THREADS,
            shared: 0,
            arguments: vec![Argument::Live, Argument::Input(0), Argument::Output(0)],
        }))
    }

    fn label(&self) -> String {
        format!("roll {}", self.shift)
    }

    fn flops(&self, _types: &CallTypes, _rows: usize) -> u64 {
        0
    }
}

/// Threads of a block of the CUDA form.
const THREADS: u32 = 256;
/// Elements per task.
const CHUNK: usize = 1 << 14;

struct Kernel {
    op: Roll,
    ty: TensorType,
}

impl Kernel {
    /// Fills a task's chunk of the output: all of it is the input turned by some elements.
    fn turn<T: Copy>(&self, task: usize, rows: usize, source: &[T], mut target: &mut [T]) {
        let turned = self.op.within(rows) * self.ty.shape.elements(1);
        let mut from = (task * CHUNK + source.len() - turned) % source.len();
        while !target.is_empty() {
            let (piece, rest) = target.split_at_mut(target.len().min(source.len() - from));
            piece.copy_from_slice(&source[from..][..piece.len()]);
            (target, from) = (rest, 0);
        }
    }
}

impl CpuKernel for Kernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        self.ty.shape.elements(live.rows).div_ceil(CHUNK)
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(CHUNK)
    }

    fn run(&self, _phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        match self.ty.dtype {
            DType::U32 => self.turn(task, live.rows, io.input_u32(0), io.output_u32(0)),
            _ => self.turn(task, live.rows, io.input(0), io.output(0)),
        }
    }
}

impl Family for Roll {
    const NAME: &'static str = "roll";

    fn cases() -> Vec<Case> {
        let case = |shift, row: &[usize], rows| {
            Case::new(Roll { shift }, vec![TensorType::f32(Shape::rows(row))], rows)
        };
        vec![
            case(1, &[], 1),
            case(1, &[4, 2], 3),
            case(-2, &[5], 7),
            case(19, &[1031], 17),
            case(1, &[8, 3], 13),
        ]
    }
}
