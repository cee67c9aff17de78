//! Random numbers of rows: a function of a row's number in the data and of the epoch, wherever in
//! whatever batch the row stands.
//!
//! Element `j` of a row's `width` elements in output `k` is made of the number of
//! `(seed, stream + k, epoch, row · width' + j)`, `width'` being `width` rounded up to a multiple of
//! four; see [`crate::random`]. A normal number is made of two by Box and Muller (1958):
//! `√(−2 ln(1 − u)) cos 2πv` and the same with the sine.

use std::f32::consts::TAU;

use serde::{Deserialize, Serialize};

use super::launch::{Argument, Kernel as CudaKernel, Launch, Launches, Target, is_wide};
use super::{
    CallTypes, Case, CpuKernel, Family, Gradient, Live, Op, OpError, Operand, ReferenceCall, Split,
    TaskIo,
};
use crate::cpu::{math, simd};
use crate::random;
use crate::tensor::{DType, Dim, Shape, TensorType};

/// How numbers are distributed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// Evenly over 0..1, multiples of 2^-24.
    Uniform,
    /// Normally, with mean 0 and deviation 1, up to 5.77.
    Normal,
}

/// Inputs: rows' numbers `u32[B]`, epoch `[1]`. Outputs: `count` times `[B, ..row]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draw {
    /// Stream of random numbers of the first output.
    pub stream: u32,
    /// Outputs.
    pub count: usize,
    /// Sizes of a row of each.
    pub row: Vec<usize>,
    /// How they are distributed.
    pub distribution: Distribution,
}

impl Draw {
    fn width(&self) -> usize {
        self.row.iter().product()
    }

    /// Blocks of four numbers of a row.
    fn blocks(&self) -> usize {
        self.width().div_ceil(4)
    }
}

impl Op for Draw {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("invariant: plain data serialises")
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        let [rows, epoch] = inputs else {
            return Err(OpError(format!("draw takes rows and epoch, got {}", inputs.len())));
        };
        if rows.dtype != DType::U32 || rows.shape.rank() != 1 {
            return Err(OpError(format!("the rows' numbers must be u32[B], got {rows}")));
        }
        if *epoch != TensorType::f32(Shape::fixed(&[1])) {
            return Err(OpError(format!("the epoch must be f32[1], got {epoch}")));
        }
        let mut dims = rows.shape.dims().to_vec();
        dims.extend(self.row.iter().map(|&n| Dim::Fixed(n)));
        let shape = Shape(dims);
        match shape.checked_elements(1) {
            Some(_) if (1..=16).contains(&self.count) && self.width() > 0 => {
                Ok(vec![TensorType::f32(shape); self.count])
            }
            _ => Err(OpError(format!(
                "draw makes 1 to 16 outputs of rows with 1 element or more, got {} of {:?}",
                self.count, self.row
            ))),
        }
    }

    fn backward(&self, _gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        Err(OpError("random numbers have no derivative by the epoch".into()))
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        let (seed, step) = (call.live.seed, call.inputs[1][0] as u64);
        let (width, padded) = (self.width(), 4 * self.blocks());
        let mut results = vec![vec![]; self.count];
        for (k, result) in results.iter_mut().enumerate() {
            let stream = self.stream.wrapping_add(k as u32);
            for row in call.inputs[0] {
                for j in 0..width {
                    let first = *row as u64 * padded as u64;
                    let uniform =
                        |j: usize| f64::from(random::uniform(seed, stream, step, first + j as u64));
                    result.push(match self.distribution {
                        Distribution::Uniform => uniform(j),
                        Distribution::Normal => {
                            let (u, v) = (uniform(j - j % 2), uniform(j - j % 2 + 1));
                            let radius = (-2.0 * (1.0 - u).ln()).sqrt();
                            let angle = std::f64::consts::TAU * v;
                            radius * if j % 2 == 0 { angle.cos() } else { angle.sin() }
                        }
                    });
                }
            }
        }
        results
    }

    fn kernel(&self, _types: &CallTypes) -> Box<dyn CpuKernel> {
        Box::new(Kernel { op: self.clone() })
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        let outputs = 0..self.count;
        let parameters: String = outputs.clone().map(|k| format!(", float* y{k}")).collect();
        let body: Vec<_> = outputs
            .map(|k| {
                format!("        draw_block(live->seed, STREAM + {k}u, step, block, y{k}, at);")
            })
            .collect();
        let all = types.inputs.iter().chain(&types.outputs).map(|t| &t.shape);
        let kernel = CudaKernel::new("draw")
            .constant("WIDE", u32::from(is_wide(all, capacity)))
            .constant("NORMAL", u32::from(self.distribution == Distribution::Normal))
            .constant("STREAM", format!("{}u", self.stream))
            .constant("WIDTH", self.width())
            .size("ROWS", &types.inputs[0].shape)
            .printed("parameters", parameters)
            .printed("body", body.join("\n"));
        let items = types.inputs[0].shape.elements(capacity) * self.blocks();
        let arguments = [Argument::Live, Argument::Input(0), Argument::Input(1)];
        let outputs = (0..self.count).map(Argument::Output);
        Some(Launches::one(Launch {
            kernel,
            entry: "draw",
            grid: [target.blocks(items, THREADS), 1, 1],
            threads: THREADS,
            shared: 0,
            arguments: arguments.into_iter().chain(outputs).collect(),
        }))
    }

    fn label(&self) -> String {
        format!("draw {:?} x {}", self.distribution, self.count)
    }

    fn flops(&self, types: &CallTypes, rows: usize) -> u64 {
        // Ten rounds of a dozen operations make four numbers.
        30 * (self.count * types.outputs[0].shape.elements(rows)) as u64
    }
}

/// Threads of a block of the CUDA form.
const THREADS: u32 = 256;
/// Elements per task and output.
const ELEMENTS: usize = 1 << 12;

struct Kernel {
    op: Draw,
}

impl Kernel {
    fn rows_per_task(&self) -> usize {
        (ELEMENTS / self.op.width()).max(1)
    }
}

impl CpuKernel for Kernel {
    fn tasks(&self, _phase: usize, live: &Live) -> usize {
        live.rows.div_ceil(self.rows_per_task())
    }

    fn split(&self, _phase: usize, _operand: Operand, _live: &Live) -> Split {
        Split::Chunks(self.rows_per_task() * self.op.width())
    }

    fn run(&self, _phase: usize, task: usize, live: &Live, io: &mut TaskIo<'_>) {
        let rows = &io.input_u32(0)[task * self.rows_per_task()..];
        for k in 0..self.op.count {
            simd::dispatch(Fill {
                op: &self.op,
                seed: live.seed,
                stream: self.op.stream.wrapping_add(k as u32),
                step: io.input(1)[0] as u64,
                rows,
                target: io.output(k),
            });
        }
    }
}

/// Numbers of the first of `rows`, as many as `target` holds.
struct Fill<'a> {
    op: &'a Draw,
    seed: u64,
    stream: u32,
    step: u64,
    rows: &'a [u32],
    target: &'a mut [f32],
}

/// Elements that are made at once.
const TOGETHER: usize = 64;

impl simd::Vectorised for Fill<'_> {
    #[inline(always)]
    fn run(self) {
        let Fill { op, seed, stream, step, rows, target } = self;
        let padded = 4 * op.blocks() as u64;
        for (row, target) in rows.iter().zip(target.chunks_mut(op.width())) {
            let first = u64::from(*row) * padded;
            for (piece, at) in target.chunks_mut(TOGETHER).zip((first..).step_by(TOGETHER)) {
                let mut numbers = [0.0; TOGETHER];
                if piece.len() <= 4 {
                    let words = random::words(seed, stream, step, at / 4).map(random::fraction);
                    numbers[..4].copy_from_slice(&words);
                } else {
                    random::fill_uniform(seed, stream, step, at, &mut numbers);
                }
                if op.distribution == Distribution::Normal {
                    normal(&mut numbers);
                }
                piece.copy_from_slice(&numbers[..piece.len()]);
            }
        }
    }
}

/// Pairs of uniform numbers become pairs of normal ones.
#[inline(always)]
fn normal(numbers: &mut [f32; TOGETHER]) {
    let mut pairs = [[0.0f32; TOGETHER / 2]; 2];
    for (i, pair) in numbers.as_chunks::<2>().0.iter().enumerate() {
        (pairs[0][i], pairs[1][i]) = (pair[0], pair[1]);
    }
    let [us, vs] = &mut pairs;
    for (u, v) in us.iter_mut().zip(vs) {
        let radius = (-2.0 * math::log(1.0 - *u)).sqrt();
        let angle = TAU * *v;
        (*u, *v) = (radius * math::cos(angle), radius * math::sin(angle));
    }
    for (i, pair) in numbers.as_chunks_mut::<2>().0.iter_mut().enumerate() {
        *pair = [pairs[0][i], pairs[1][i]];
    }
}

impl Family for Draw {
    const NAME: &'static str = "draw";

    fn cases() -> Vec<Case> {
        let case = |stream, count, row: &[usize], distribution, rows| {
            let op = Draw { stream, count, row: row.to_vec(), distribution };
            let numbers = TensorType::new(DType::U32, Shape::rows(&[]));
            let inputs = vec![numbers, TensorType::f32(Shape::fixed(&[1]))];
            let case = Case::new(op, inputs, rows).range(0.0, 9.0).integers(0, 1 << 24);
            case.gradients(&[], &[])
        };
        use Distribution::{Normal, Uniform};
        vec![
            case(1 << 31, 7, &[], Uniform, 13),
            case(3, 1, &[2, 35], Uniform, 5),
            case(u32::MAX, 2, &[1, 1], Normal, 3),
            case(5, 1, &[131], Normal, 17),
        ]
    }
}
