//! Matrix products on the emulated device with every tile: the same bits, and those of the CPU where
//! a sum is not cut into parts.

mod common;

use common::inputs;
use common::model::SmallModel;
use ironwarp::exec::cuda::{CudaExecutor, Replay};
use ironwarp::op::expression::{Expr, Program};
use ironwarp::op::matmul::{Matmul, Tile, tiles};
use ironwarp::op::{
    CallTypes, Case, CpuKernel, Gradient, Launches, Op, OpError, ReferenceCall, Target,
};
use ironwarp::tensor::{Shape, TensorType};

/// A product with a tile of its own.
#[derive(Debug)]
struct Tiled {
    op: Matmul,
    tile: Tile,
}

impl Op for Tiled {
    fn name(&self) -> &'static str {
        "tiled"
    }

    fn attributes(&self) -> serde_json::Value {
        self.op.attributes()
    }

    fn outputs(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, OpError> {
        self.op.outputs(inputs)
    }

    fn backward(&self, gradient: &mut Gradient<'_>) -> Result<(), OpError> {
        self.op.backward(gradient)
    }

    fn reference(&self, call: &ReferenceCall<'_>) -> Vec<Vec<f64>> {
        self.op.reference(call)
    }

    fn kernel(&self, types: &CallTypes) -> Box<dyn CpuKernel> {
        self.op.kernel(types)
    }

    fn launches(&self, types: &CallTypes, capacity: usize, target: &Target) -> Option<Launches> {
        Some(self.op.launches_with(types, capacity, target, Some(self.tile)))
    }
}

/// Edges on all sides, whole tiles, one row, one column, several matrices, row sums, an epilogue; the
/// last three are cut into parts.
fn products() -> Vec<(Matmul, Vec<TensorType>, bool)> {
    let fixed = |dims: &[usize]| TensorType::f32(Shape::fixed(dims));
    let rows = |dims: &[usize]| TensorType::f32(Shape::rows(dims));
    let scaled = Program::new(2, &[Expr::input(0) * Expr::input(1)]);
    vec![
        (Matmul::nn(), vec![fixed(&[131, 37]), fixed(&[37, 141])], false),
        (Matmul::nt(), vec![fixed(&[128, 32]), fixed(&[128, 32])], false),
        (Matmul::tn(), vec![rows(&[3, 20]), rows(&[3, 36])], false),
        (Matmul::nt(), vec![fixed(&[1, 50]), fixed(&[70, 50])], false),
        (Matmul::nn(), vec![fixed(&[70, 44]), fixed(&[44, 1])], false),
        (Matmul::tn(), vec![fixed(&[530, 40]), fixed(&[530, 36])], true),
        (Matmul::tn().with_row_sums(), vec![rows(&[141]), rows(&[37])], false),
        (Matmul::tn().with_row_sums(), vec![fixed(&[530, 40]), fixed(&[530, 36])], true),
        (
            Matmul::nn().with_epilogue(scaled),
            vec![rows(&[300]), fixed(&[300, 33]), fixed(&[33])],
            true,
        ),
    ]
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn every_tile_gives_the_same_bits() {
    let Some(_session) = emulator::session() else { return };
    for (op, types, in_parts) in products() {
        let case = |tile: &Tile| {
            let op = Tiled { op: op.clone(), tile: *tile };
            Case::new(op, types.clone(), 3).gradients(&[], &[])
        };
        let cases: Vec<_> = tiles().iter().map(case).collect();
        let model = SmallModel::of_cases(&cases);
        let inputs: Vec<_> = cases.iter().flat_map(|case| inputs(case, 0)).collect();
        let make = |lasting: &_| CudaExecutor::new(lasting, 0, Replay::Graph).expect("a device");
        let outputs = model.load(make).run(&inputs);
        let each = outputs.len() / tiles().len();
        for (of_tile, tile) in outputs.chunks(each).zip(tiles()) {
            let equal = outputs.iter().zip(of_tile).all(|(a, b)| bits(a) == bits(b));
            assert!(equal, "{} with {tile:?}", op.label());
        }
        let cpu = SmallModel::of_case(&cases[0]).run_cpu(1, &inputs);
        assert_eq!(bits(&outputs[0]) == bits(&cpu[0]), !in_parts, "{}", op.label());
    }
}
