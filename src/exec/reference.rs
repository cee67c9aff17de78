//! The judge: walks any plan with the ops' naive definitions, in `f64`.
//!
//! With [`Rounding::Storage`] every result is rounded to the element type it is stored in, which is
//! what a device does between steps.

use std::ops::Range;
use std::sync::Arc;

use super::{Executor, FeedMut, PlanId};
use crate::error::DeviceError;
use crate::op::{BufferId, Live, ReferenceCall};
use crate::plan::{Lasting, Plan};
use crate::tensor::DType;

/// Whether results are rounded to their storage type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// Everything stays in `f64`.
    None,
    /// Results are rounded to their element type.
    Storage,
}

/// Walks plans in plain loops.
pub struct ReferenceExecutor {
    rounding: Rounding,
    lasting: usize,
    /// Elements by buffer: of the lasting ones, then per plan of all others.
    values: Vec<Vec<f64>>,
    layout: Lasting,
    plans: Vec<(Arc<Plan>, Vec<Vec<f64>>)>,
}

impl ReferenceExecutor {
    /// An executor with zeroed lasting memory.
    pub fn new(lasting: &Lasting, rounding: Rounding) -> Self {
        let values = lasting
            .graph
            .buffers
            .iter()
            .map(|b| match b.within {
                Some(_) => vec![],
                None => vec![0.0; b.ty.shape.elements(0)],
            })
            .collect();
        let count = lasting.graph.buffers.len();
        ReferenceExecutor {
            rounding,
            lasting: count,
            values,
            layout: lasting.clone(),
            plans: vec![],
        }
    }

    /// Writes a lasting buffer without rounding.
    pub fn write_f64(&mut self, buffer: BufferId, elements: &[f64]) {
        let (root, at) = self.layout.graph.root(buffer);
        self.values[root.index()][at..][..elements.len()].copy_from_slice(elements);
    }

    /// Reads a lasting buffer.
    pub fn read_f64(&self, buffer: BufferId) -> Vec<f64> {
        let (root, at) = self.layout.graph.root(buffer);
        let count = self.layout.graph.ty(buffer).shape.elements(0);
        self.values[root.index()][at..][..count].to_vec()
    }

    /// Writes a feed without rounding; `elements` are those of the rows in use.
    pub fn feed_f64(&mut self, plan: PlanId, buffer: BufferId, elements: &[f64]) {
        let (plan, values) = &mut self.plans[plan.0];
        debug_assert!(plan.feeds.iter().any(|(_, id)| *id == buffer));
        values[buffer.index()] = elements.to_vec();
    }

    /// Reads a buffer of a plan for `rows` rows.
    pub fn fetch_f64(&self, plan: PlanId, buffer: BufferId, rows: usize) -> Vec<f64> {
        let (plan, values) = &self.plans[plan.0];
        elements(plan, self.lasting, &self.values, values, buffer, rows).to_vec()
    }

    fn round(&self, values: &mut [f64], dtype: DType) {
        if self.rounding == Rounding::Storage && dtype == DType::F32 {
            values.iter_mut().for_each(|x| *x = f64::from(*x as f32));
        }
    }
}

/// The elements of a buffer, rows in use only.
fn elements<'a>(
    plan: &Plan,
    lasting: usize,
    shared: &'a [Vec<f64>],
    own: &'a [Vec<f64>],
    buffer: BufferId,
    rows: usize,
) -> &'a [f64] {
    let (root, at) = plan.graph.root(buffer);
    let all = if root.index() < lasting { shared } else { own };
    let count = plan.graph.ty(buffer).shape.elements(rows);
    &all[root.index()][at..at + count]
}

impl Executor for ReferenceExecutor {
    fn load(&mut self, plan: Arc<Plan>) -> Result<PlanId, DeviceError> {
        let values = vec![vec![]; plan.graph.buffers.len()];
        self.plans.push((plan, values));
        Ok(PlanId(self.plans.len() - 1))
    }

    fn write(&mut self, buffer: BufferId, elements: &[f32]) -> Result<(), DeviceError> {
        let elements: Vec<f64> = elements.iter().map(|&x| f64::from(x)).collect();
        self.write_f64(buffer, &elements);
        Ok(())
    }

    fn read(&self, buffer: BufferId, elements: &mut [f32]) -> Result<(), DeviceError> {
        for (target, x) in elements.iter_mut().zip(self.read_f64(buffer)) {
            *target = x as f32;
        }
        Ok(())
    }

    fn feed(
        &mut self,
        plan: PlanId,
        buffer: BufferId,
        rows: usize,
        fill: &mut dyn FnMut(FeedMut<'_>),
    ) -> Result<(), DeviceError> {
        let ty = self.plans[plan.0].0.graph.ty(buffer).clone();
        let count = ty.shape.elements(rows);
        let elements: Vec<f64> = match ty.dtype {
            DType::U32 => {
                let mut elements = vec![0; count];
                fill(FeedMut::U32(&mut elements));
                elements.into_iter().map(f64::from).collect()
            }
            _ => {
                let mut elements = vec![0.0; count];
                fill(FeedMut::F32(&mut elements));
                elements.into_iter().map(f64::from).collect()
            }
        };
        self.feed_f64(plan, buffer, &elements);
        Ok(())
    }

    fn run(&mut self, id: PlanId, steps: Range<usize>, live: &Live) -> Result<(), DeviceError> {
        let plan = self.plans[id.0].0.clone();
        for step in &plan.graph.steps[steps] {
            let types = plan.graph.call_types(step);
            let own = &self.plans[id.0].1;
            let get = |buffer: &BufferId| -> &[f64] {
                let (root, _) = plan.graph.root(*buffer);
                if root.index() >= self.lasting && own[root.index()].is_empty() {
                    return &[];
                }
                elements(&plan, self.lasting, &self.values, own, *buffer, live.rows)
            };
            let call = ReferenceCall {
                types: &types,
                live: *live,
                inputs: step.inputs.iter().map(get).collect(),
                outputs: step.outputs.iter().map(get).collect(),
            };
            let results = step.op.reference(&call);
            for ((buffer, mut result), ty) in step.outputs.iter().zip(results).zip(&types.outputs) {
                assert_eq!(result.len(), ty.shape.elements(live.rows), "invariant: {}", step.layer);
                self.round(&mut result, ty.dtype);
                let (root, at) = plan.graph.root(*buffer);
                if root.index() < self.lasting {
                    self.values[root.index()][at..][..result.len()].copy_from_slice(&result);
                } else {
                    self.plans[id.0].1[root.index()] = result;
                }
            }
        }
        Ok(())
    }

    fn fetch(
        &self,
        plan: PlanId,
        buffer: BufferId,
        rows: usize,
        elements: &mut [f32],
    ) -> Result<(), DeviceError> {
        for (target, x) in elements.iter_mut().zip(self.fetch_f64(plan, buffer, rows)) {
            *target = x as f32;
        }
        Ok(())
    }
}
