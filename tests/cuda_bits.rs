//! Pointwise expressions give the same bits on the CPU and on the device, forward and backward: all
//! functions, activations and random numbers over values of every kind.

mod common;

use common::inputs;
use common::model::SmallModel;
use ironwarp::data::{Column, Dataset};
use ironwarp::exec::Device;
use ironwarp::exec::cuda::{CudaExecutor, Replay};
use ironwarp::op::expression::{Binary, Expr, Unary};
use ironwarp::op::pointwise::Pointwise;
use ironwarp::op::{Case, Op, Registry};
use ironwarp::prelude::*;
use ironwarp::random;
use ironwarp::tensor::{Shape, TensorType};

/// Values where functions have their edges: each is taken with both signs.
const EDGES: [f32; 40] = [
    0.0,
    1e-45,
    5e-40,
    1.175_494_2e-38,
    f32::MIN_POSITIVE,
    1e-30,
    1e-20,
    3e-8,
    6e-8,
    1e-4,
    0.1,
    0.25,
    0.5,
    0.625,
    0.75,
    1.0,
    1.000_000_1,
    1.5,
    std::f32::consts::FRAC_PI_2,
    2.0,
    3.0,
    std::f32::consts::PI,
    4.0,
    6.0,
    9.0,
    16.5,
    17.4,
    87.3,
    88.5,
    88.8,
    103.9,
    104.1,
    255.0,
    1e4,
    8_388_608.5,
    16_777_216.0,
    1e10,
    1e30,
    f32::MAX,
    f32::INFINITY,
];

fn edges() -> impl Iterator<Item = f32> + Clone {
    EDGES.into_iter().flat_map(|x| [x, -x]).chain([f32::NAN])
}

/// Edges, numbers of moderate size, and bits of every kind.
fn single() -> Vec<f64> {
    let moderate = (0..2000).map(|i| 40.0 * random::uniform(7, 50, 0, i) - 20.0);
    let all_kinds = (0..2000u32).map(|i| f32::from_bits(i.wrapping_mul(0x9e37_79b1)));
    edges().chain(moderate).chain(all_kinds).map(f64::from).collect()
}

/// Every edge with every other, and numbers of moderate size.
fn pairs() -> [Vec<f64>; 2] {
    let moderate = |stream| (0..999).map(move |i| 8.0 * random::uniform(7, stream, 0, i) - 4.0);
    let pairs = edges().flat_map(|a| edges().map(move |b| (a, b)));
    let (a, b): (Vec<_>, Vec<_>) = pairs.chain(moderate(51).zip(moderate(52))).unzip();
    [a, b].map(|x| x.into_iter().map(f64::from).collect())
}

fn bits_or_nan(x: f32) -> Option<u32> {
    (!x.is_nan()).then(|| x.to_bits())
}

/// Runs both passes on the CPU and on the device and compares outputs and gradients.
fn compare(model: SmallModel, mut inputs: Vec<Vec<f64>>, names: &[String]) {
    let model = model.with_gradients();
    for (stream, feed) in (53..).zip(&model.feeds[inputs.len()..]) {
        let elements = model.graph.ty(*feed).shape.elements(model.rows);
        let upstream = |i| f64::from(random::uniform(7, stream, 0, i as u64) - 0.5);
        inputs.push((0..elements).map(upstream).collect());
    }
    let make = |lasting: &_| CudaExecutor::new(lasting, 0, Replay::Graph).expect("a device");
    let device = model.load(make).run(&inputs);
    let cpu = model.run_cpu(2, &inputs);
    let outputs: Vec<_> = model.build().0.outputs.iter().map(|(name, _)| name.clone()).collect();
    let mut compared = 0;
    for ((a, b), output) in cpu.iter().zip(&device).zip(outputs) {
        for ((&c, &d), i) in a.iter().zip(b).zip(0..) {
            let place = || format!("{output} of {names:?}, element {i}");
            assert_eq!(bits_or_nan(c), bits_or_nan(d), "{}: {c:e} and {d:e}", place());
            compared += 1;
        }
    }
    println!("counted: {} expressions, {compared} results: equal bits", names.len());
}

/// Compares expressions, all of the same inputs.
fn compare_all(expressions: &[Expr], inputs: &[Vec<f64>]) {
    let case = |e: &Expr| {
        let ty = TensorType::f32(Shape::rows(&[inputs[0].len()]));
        Case::new(Pointwise::new(inputs.len(), e), vec![ty; inputs.len()], 1)
    };
    let cases: Vec<_> = expressions.iter().map(case).collect();
    let names: Vec<_> = cases.iter().map(|case| case.op.label()).collect();
    let all = cases.iter().flat_map(|_| inputs.iter().cloned()).collect();
    compare(SmallModel::of_cases(&cases), all, &names);
}

#[test]
fn functions_of_one_number_give_the_same_bits() {
    let Some(_session) = emulator::session() else { return };
    let x = Expr::input(0);
    let all = [
        Unary::Neg,
        Unary::Abs,
        Unary::Exp,
        Unary::Expm1,
        Unary::Log,
        Unary::Log1p,
        Unary::Sqrt,
        Unary::Sigmoid,
        Unary::Tanh,
        Unary::Erf,
        Unary::Sin,
        Unary::Cos,
    ];
    let mut all: Vec<_> = all.iter().map(|op| x.unary(*op)).collect();
    // Steps, whose own gradient is none; random numbers; a dropout.
    all.extend([x.sign() * &x, x.floor() + &x, x.softplus()]);
    all.extend([Expr::uniform(5) * &x, Expr::uniform(6).less(0.5).select(0.0, &x * 2.0)]);
    compare_all(&all, &[single()]);
}

#[test]
fn augmentation_gives_the_same_bits() {
    let Some(_session) = emulator::session() else { return };
    let ops = ["draw", "rectangles", "roll", "warp"];
    let cases = Registry::standard().cases().into_iter().filter(|c| ops.contains(&c.op.name()));
    for case in cases {
        compare(SmallModel::of_case(&case), inputs(&case, 0), &[case.op.label()]);
    }
}

/// Losses of pairs, of which one pixel and one number are seen, are sums of two in any order. Drawn
/// rows are changed by their places.
#[test]
fn coloured_and_mixed_rows_give_the_same_bits() {
    let Some(_session) = emulator::session() else { return };
    let numbers = |stream: u32, count: usize| -> Vec<f32> {
        (0..count as u64).map(|i| random::uniform(7, stream, 0, i)).collect()
    };
    let images = Column::numbers("image", &[3, 3, 5], numbers(54, 40 * 45));
    let targets = Column::numbers("number", &[1], numbers(55, 40));
    let data = Dataset::new(vec![images], vec![targets]).expect("sound data");
    let losses = |device: Device, drawn: bool| {
        let model = Model::input(&[3, 3, 5]).flatten().dense(1);
        let trainer = Trainer::new(&model, GradientDescent::new(1e-30)).device(device);
        let mut trainer = trainer.loss(MeanSquaredError).build().expect("builds");
        let middle: Vec<f32> = (0..45).map(|i| f32::from(u8::from(i == 22))).collect();
        trainer.set_parameter("dense_1.weight", &middle).expect("a parameter");
        trainer.set_parameter("dense_1.bias", &[0.0]).expect("a parameter");
        let fit = Fit::epochs(9).batch(2).progress(Progress::Silent);
        let fit = if drawn { fit.sample_weighted(&[1.0; 40]) } else { fit };
        let augment = Augment::new().color_jitter(0.3, 0.0, 0.4, 0.2);
        let augment = augment.mixup(0.3).cutmix(1.0);
        let history = trainer.fit(&data, fit.augment(augment)).expect("trains");
        history.epochs.iter().map(|e| e.loss.to_bits()).collect::<Vec<_>>()
    };
    for drawn in [false, true] {
        let cuda = losses(Device::cuda(0).expect("a device"), drawn);
        assert_eq!(losses(Device::cpu(), drawn), cuda, "drawn: {drawn}");
    }
}

#[test]
fn functions_of_two_numbers_give_the_same_bits() {
    let Some(_session) = emulator::session() else { return };
    let (x, y) = (Expr::input(0), Expr::input(1));
    let all =
        [Binary::Add, Binary::Sub, Binary::Mul, Binary::Div, Binary::Min, Binary::Max, Binary::Pow];
    let mut all: Vec<_> = all.iter().map(|op| x.binary(*op, &y)).collect();
    let comparisons = [x.less(&y), x.less_equal(&y), x.equal(&y), &x - 1.0];
    all.extend(comparisons.map(|c| c.select(&x, &y)));
    compare_all(&all, &pairs());
}

#[test]
fn scalars_of_ranges_give_the_same_bits() {
    let Some(_session) = emulator::session() else { return };
    let [x, y, z] = [0, 1, 2].map(Expr::input);
    let values = single();
    let count = values.len();
    let op = Pointwise::new(3, &((&x * &y).tanh() + (x * z).exp()));
    let op = op.with_shape(Shape::fixed(&[count])).in_ranges(&[64, 2112, count]);
    let names = [op.label()];
    let inputs = [count, 3, 1].map(|n| TensorType::f32(Shape::fixed(&[n])));
    let case = Case::new(op, inputs.to_vec(), 1).gradients(&[], &[]);
    compare(SmallModel::of_cases(&[case]), vec![values, vec![0.3, -7.0, 1e-20], vec![0.7]], &names);
}

#[test]
fn activations_give_the_same_bits() {
    let Some(_session) = emulator::session() else { return };
    let all = [
        Activation::Relu,
        Activation::LeakyRelu(0.01),
        Activation::Elu(1.0),
        Activation::Selu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Softplus,
        Activation::Mish,
        Activation::HardSwish,
    ];
    let values = single();
    let names: Vec<_> = all.iter().map(|activation| format!("{activation:?}")).collect();
    let model = Model::functional(|inputs| {
        for (activation, name) in all.iter().zip(&names) {
            let y = inputs.floats(name, values.len()).layer(*activation);
            inputs.output(&format!("{name} output"), &y);
        }
    });
    let network = model.network().expect("a network");
    compare(SmallModel::of_network(&network, 1), vec![values; all.len()], &names);
}
