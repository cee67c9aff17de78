//! Two kernels with planted faults, each a test of its own: the emulator must find them. On a card
//! they only run; what must find them there is compute-sanitizer, which the tests then run under.

mod common;

use std::sync::Arc;

use common::inputs;
use common::model::SmallModel;
use emulator::{Order, Settings};
use ironwarp::exec::cuda::{CudaExecutor, Replay};
use ironwarp::op::launch::{Argument, Kernel, Launch, Launches};
use ironwarp::op::{
    CallTypes, Case, CpuKernel, Family, Gradient, Op, OpError, ReferenceCall, Target, reshape,
};
use ironwarp::tensor::{Shape, TensorType};

/// An op of 64 numbers that has only a CUDA form.
#[derive(Debug)]
struct Faulty {
    name: &'static str,
    text: &'static str,
}

impl Op for Faulty {
    fn name(&self) -> &'static str {
        self.name
    }

    fn attributes(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        Ok(inputs.to_vec())
    }

    fn backward(&self, _gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        Ok(())
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        vec![call.inputs[0].to_vec()]
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        reshape::Reshape { shape: types.outputs[0].shape.clone() }.kernel(types)
    }

    fn launches(&self, _: &CallTypes, _: usize, _: &Target) -> Option<Launches> {
        let launch = Launch {
            kernel: Kernel::from_text(self.name, self.text),
            entry: self.name,
            grid: [1; 3],
            threads: 64,
            shared: 0,
            arguments: vec![Argument::Input(0), Argument::Output(0), Argument::Tickets],
        };
        Some(Launches { tickets: 1, ..Launches::one(launch) })
    }
}

/// Runs the kernel in two orders of threads and returns the bits of both.
fn run(name: &'static str, text: &'static str, session: &emulator::Session) -> [Vec<u32>; 2] {
    // Some case of one input gives the rest of the description.
    let some = reshape::Reshape::cases().remove(0);
    let inputs_types = vec![TensorType::f32(Shape::fixed(&[64]))];
    let case = Case { op: Arc::new(Faulty { name, text }), inputs: inputs_types, ..some };
    let inputs = inputs(&case, 0);
    let make = |lasting: &_| CudaExecutor::new(lasting, 0, Replay::Steps).expect("a device");
    let mut loaded = SmallModel::of_case(&case).load(make);
    [Order::Forward, Order::Reverse].map(|thread_order| {
        session.configure(Settings { thread_order, ..session.settings() });
        loaded.run(&inputs)[0].iter().map(|x| x.to_bits()).collect()
    })
}

#[test]
fn a_write_past_the_end_is_found() {
    let Some(session) = emulator::session() else { return };
    run("overrun", include_str!("sanitizer/overrun.cu"), &session);
    let problems = session.problems();
    assert!(emulator::on_a_card() || !problems.is_empty(), "nobody found the write");
}

#[test]
fn a_missing_barrier_is_found() {
    let Some(session) = emulator::session() else { return };
    let [forward, reverse] = run("race", include_str!("sanitizer/race.cu"), &session);
    assert!(emulator::on_a_card() || forward != reverse, "no order shows the missing barrier");
}
