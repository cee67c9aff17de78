//! What a device reaches: the limits beside which steps and workloads are seen, all measured in the
//! same run.
//!
//! A stream reads and writes a set of bytes in place again and again, for sets from 16 KiB to 256
//! MiB; on a GPU it is a copy. Matrix products are timed alone, in every shape that a plan has.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::measure::Budget;
use super::probe::Probe;
use crate::cpu::simd;
use crate::error::Result;
use crate::exec::Device;
use crate::exec::cpu::default_threads;
use crate::exec::cpu::team::Team;
use crate::op::expression::Expr;
use crate::op::matmul::Matmul;
use crate::op::pointwise::Pointwise;
use crate::op::{Access, BufferId, Role, Step};
use crate::plan::Plan;
use crate::tensor::{Shape, TensorType};

/// What a device reaches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roof {
    /// The device.
    pub device: String,
    /// The best of all matrix products that were timed, in 10⁹ operations a second.
    pub gflops: f64,
    /// Streams by the size of their set.
    pub streams: Vec<Stream>,
}

/// A stream over one set of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    /// The set.
    pub bytes: usize,
    /// Bytes read and written, in 10⁹ a second.
    pub gigabytes_per_second: f64,
}

impl Roof {
    /// 10⁹ bytes a second over a set of this size: the best of all sets that are as large.
    pub fn gigabytes_per_second(&self, bytes: usize) -> f64 {
        let last = self.streams.last().map_or(0, |stream| stream.bytes);
        let large = self.streams.iter().filter(|stream| stream.bytes >= bytes.min(last));
        large.map(|stream| stream.gigabytes_per_second).fold(0.0, f64::max)
    }
}

/// The least that some work takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Floor {
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes that must be read and written.
    pub bytes: u64,
    /// The larger of what its matrix products take alone and what a stream of its bytes takes.
    pub seconds: f64,
    /// Which of the two it is.
    pub bound: Bound,
}

/// What limits some work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Its matrix products.
    Arithmetic,
    /// Its bytes.
    Memory,
}

impl Floor {
    fn new(flops: u64, bytes: u64, arithmetic: f64, memory: f64) -> Floor {
        let bound = if arithmetic > memory { Bound::Arithmetic } else { Bound::Memory };
        Floor { flops, bytes, seconds: arithmetic.max(memory), bound }
    }
}

/// Measures limits of one device, each once.
pub struct Limits {
    device: Device,
    roof: Roof,
    /// Best seconds of matrix products, by shape.
    products: BTreeMap<String, f64>,
}

/// Operations of a product from which on its rate says something.
const RATED: u64 = 1 << 20;

/// The smallest and the largest set of a stream, in bytes.
const SMALLEST: usize = 16 << 10;
const LARGEST: usize = 256 << 20;

impl Limits {
    /// Streams, and a product of 2048 x 1024 x 1024.
    ///
    /// # Errors
    /// The device's.
    pub fn new(device: &Device) -> Result<Limits> {
        let sizes = std::iter::successors(Some(SMALLEST), |n| Some(2 * n));
        let streams = match device.is_cpu() {
            true => Streams::new()?.measure(sizes.take_while(|n| *n <= LARGEST))?,
            false => copies(device, sizes.take_while(|n| *n <= LARGEST))?,
        };
        let roof = Roof { device: device.to_string(), gflops: 0.0, streams };
        let mut limits = Limits { device: device.clone(), roof, products: BTreeMap::new() };
        let a = TensorType::f32(Shape::rows(&[1024]));
        let b = TensorType::f32(Shape::fixed(&[1024, 1024]));
        limits.product(&Matmul::nt(), &[a, b], 2048)?;
        Ok(limits)
    }

    /// What was found.
    pub fn roof(&self) -> &Roof {
        &self.roof
    }

    /// Best seconds of a matrix product without an epilogue.
    fn product(&mut self, matmul: &Matmul, inputs: &[TensorType], rows: usize) -> Result<f64> {
        let (ta, tb) = (matmul.transpose_a, matmul.transpose_b);
        let key = format!("{ta} {tb} {} {} {rows}", inputs[0], inputs[1]);
        if let Some(seconds) = self.products.get(&key) {
            return Ok(*seconds);
        }
        let product = Arc::new(Matmul::new(ta, tb));
        let mut probe = Probe::of_op(&self.device, product, inputs, rows, 1)?;
        let seconds = probe.time(0..1, Budget::TINY)?.best;
        let flops = probe.flops(0..1);
        if flops >= RATED {
            self.roof.gflops = self.roof.gflops.max(flops as f64 / seconds / 1e9);
        }
        self.products.insert(key, seconds);
        Ok(seconds)
    }

    /// Seconds of a step's product; of other steps, of their operations at the product's best rate.
    fn arithmetic(&mut self, plan: &Plan, step: &Step, rows: usize) -> Result<f64> {
        let types = plan.graph.call_types(step);
        match step.op.as_matmul() {
            Some(matmul) => self.product(matmul, &types.inputs[..2], rows),
            None => Ok(step.op.flops(&types, rows) as f64 / (1e9 * self.roof.gflops)),
        }
    }

    fn memory(&self, bytes: u64, set: usize) -> f64 {
        bytes as f64 / (1e9 * self.roof.gigabytes_per_second(set))
    }

    /// The floor of one step: all that it reads and writes counts.
    ///
    /// # Errors
    /// The device's.
    pub fn of_step(&mut self, plan: &Plan, index: usize, rows: usize) -> Result<Floor> {
        let step = &plan.graph.steps[index];
        let arithmetic = self.arithmetic(plan, step, rows)?;
        let bytes = |id| plan.graph.ty(id).bytes(rows) as u64;
        let outputs = step.outputs.iter().enumerate().map(|(i, id)| match step.op.access(i) {
            Access::Overwrite => bytes(*id),
            Access::Update => 2 * bytes(*id),
        });
        let inputs = step.inputs.iter().map(|id| bytes(*id));
        let all = if step.op.is_view() { 0 } else { inputs.chain(outputs).sum() };
        let flops = step.op.flops(&plan.graph.call_types(step), rows);
        Ok(Floor::new(flops, all, arithmetic, self.memory(all, all as usize)))
    }

    /// The floor of a range of steps that uses memory of `set` bytes: what comes from outside counts
    /// once where it is read and once where it is written, and what is made on the way not at all,
    /// since it may stay in a cache.
    ///
    /// # Errors
    /// The device's.
    pub fn of_range(&mut self, probe: &Probe, range: Range<usize>) -> Result<Floor> {
        let (plan, rows) = (probe.plan.clone(), probe.rows);
        let (mut arithmetic, mut flops) = (0.0, 0);
        let (mut read, mut written) = (Outside::new(&plan, rows), Outside::new(&plan, rows));
        for step in &plan.graph.steps[range] {
            arithmetic += self.arithmetic(&plan, step, rows)?;
            flops += step.op.flops(&plan.graph.call_types(step), rows);
            step.inputs.iter().for_each(|id| read.count(*id));
            for (i, id) in step.outputs.iter().enumerate() {
                written.count(*id);
                if step.op.access(i) == Access::Update {
                    read.count(*id);
                }
            }
        }
        let bytes = read.bytes() + written.bytes();
        Ok(Floor::new(flops, bytes, arithmetic, self.memory(bytes, probe.bytes())))
    }
}

/// Bytes of buffers that are not made on the way.
struct Outside<'a> {
    plan: &'a Plan,
    rows: usize,
    /// Bytes by outermost buffer and place in it.
    parts: BTreeMap<BufferId, BTreeMap<usize, u64>>,
}

impl<'a> Outside<'a> {
    fn new(plan: &'a Plan, rows: usize) -> Self {
        Outside { plan, rows, parts: BTreeMap::new() }
    }

    fn count(&mut self, id: BufferId) {
        let (root, place) = self.plan.graph.root(id);
        if self.plan.graph.buffer(root).role != Role::Activation {
            let part = self.parts.entry(root).or_default().entry(place).or_default();
            *part = (*part).max(self.plan.graph.ty(id).bytes(self.rows) as u64);
        }
    }

    /// A buffer counts once, however many of its parts were seen how often.
    fn bytes(&self) -> u64 {
        let whole = |root: &BufferId| self.plan.graph.ty(*root).bytes(self.rows) as u64;
        self.parts.iter().map(|(root, parts)| parts.values().sum::<u64>().min(whole(root))).sum()
    }
}

/// Streams on all threads of the CPU.
struct Streams {
    team: Team,
}

/// `x = 0.999 x + 0.001` so many times.
struct Pass<'a> {
    values: &'a mut [f32],
    repeat: usize,
}

impl simd::Vectorised for Pass<'_> {
    #[inline(always)]
    fn run(self) {
        for _ in 0..self.repeat {
            for x in black_box(&mut *self.values) {
                *x = *x * 0.999 + 0.001;
            }
        }
    }
}

impl Streams {
    fn new() -> Result<Streams> {
        Ok(Streams { team: Team::new(default_threads())? })
    }

    fn measure(&mut self, sizes: impl Iterator<Item = usize>) -> Result<Vec<Stream>> {
        let mut values: Vec<f32> = (0..LARGEST / 4).map(|i| (i % 251) as f32 / 251.0).collect();
        let mut stream = |bytes: usize| {
            let part = (bytes / 4).div_ceil(self.team.threads());
            let parts: Vec<_> = values[..bytes / 4].chunks_mut(part).map(Mutex::new).collect();
            let spread = Budget::TINY.per_call(|repeat| {
                self.team.run(&|worker| {
                    if let Some(part) = parts.get(worker.index()) {
                        let mut values = part.lock().unwrap_or_else(PoisonError::into_inner);
                        simd::dispatch(Pass { values: &mut values, repeat });
                    }
                });
                Ok::<(), crate::Error>(())
            })?;
            Ok(Stream { bytes, gigabytes_per_second: 2.0 * bytes as f64 / spread.best / 1e9 })
        };
        sizes.map(&mut stream).collect()
    }
}

/// Copies by a device's own pointwise kernel: half of the set is read, the other half written.
fn copies(device: &Device, sizes: impl Iterator<Item = usize>) -> Result<Vec<Stream>> {
    let copy = |bytes: usize| {
        let op = Arc::new(Pointwise::new(1, &(Expr::input(0) * 0.999)));
        let half = TensorType::f32(Shape::fixed(&[bytes / 8]));
        let seconds = Probe::of_op(device, op, &[half], 1, 1)?.time(0..1, Budget::TINY)?.best;
        Ok(Stream { bytes, gigabytes_per_second: bytes as f64 / seconds / 1e9 })
    };
    sizes.map(copy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_streams_as_fast_as_the_best_that_is_as_large() {
        let streams = [(16, 8.0), (32, 100.0), (64, 50.0)];
        let streams =
            streams.map(|(bytes, gigabytes_per_second)| Stream { bytes, gigabytes_per_second });
        let roof = Roof { device: "cpu".into(), gflops: 1.0, streams: streams.to_vec() };
        let rates = [1, 32, 33, 1000].map(|bytes| roof.gigabytes_per_second(bytes));
        assert_eq!(rates, [100.0, 100.0, 50.0, 50.0]);
    }
}
