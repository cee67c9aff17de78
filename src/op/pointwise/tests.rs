//! The interpreter against the definition, on small integers, so that all sums are exact: what is
//! read and written in place, code chosen by scalars, operands of every kind.

use super::{Area, Interpreter, Pointwise, Source, apply};
use crate::cpu::tile::TileMut;
use crate::op::expression::{Expr, Program};
use crate::op::kernel::{Buffers, Piece, Shared};
use crate::op::{Live, Op, Operand, TaskIo};
use crate::tensor::{Shape, TensorType};

struct Inputs<'a>(&'a [Vec<f32>]);

impl Buffers for Inputs<'_> {
    fn input(&self, i: usize) -> Shared<'_> {
        Shared::F32(&self.0[i])
    }

    fn piece(&self, _operand: Operand) -> Piece<'_> {
        Piece::Read(Shared::F32(&[]))
    }
}

/// Small integers.
fn numbers(count: usize, stream: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7 + stream * 3) % 11) as f32 - 5.0).collect()
}

/// Runs a program whose last operands are the old contents of the first `updates` outputs, on
/// outputs of `shape`, in tiles of a few columns, and compares with the definition.
fn check(name: &str, results: &[Expr], inputs: &[&[usize]], updates: usize, shape: [usize; 2]) {
    let program = Program::new(inputs.len() + updates, results);
    let [rows, columns] = shape;
    let values: Vec<_> =
        inputs.iter().enumerate().map(|(i, s)| numbers(s.iter().product(), i)).collect();
    let mut outputs: Vec<_> = (0..results.len()).map(|j| numbers(rows * columns, 50 + j)).collect();
    let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    let wides: Vec<_> = values.iter().chain(&outputs[..updates]).map(|x| wide(x)).collect();
    let sizes = inputs.iter().map(|s| s.to_vec()).chain(vec![shape.to_vec(); updates]);
    let operands: Vec<_> = wides.iter().map(Vec::as_slice).zip(sizes).collect();
    let live = Live { rows: 1, seed: 1, step: 1 };
    let expected = apply(&program, &shape, &operands, &live);

    let ty = |s: &[usize]| TensorType::f32(Shape::fixed(s));
    let mut sources: Vec<_> =
        inputs.iter().enumerate().map(|(i, s)| Source::Input(i, ty(s))).collect();
    sources.extend((0..updates).map(Source::Old));
    let interpreter = Interpreter::new(&program, &sources, &Shape::fixed(&shape));
    let buffers = Inputs(&values);
    let io = TaskIo::new(&buffers, &mut []);
    // Whatever was there before.
    let mut scratch = vec![f32::NAN; interpreter.scratch()];
    interpreter.prepare(&io, &mut scratch);
    let mut wholes: Vec<_> =
        outputs.iter_mut().map(|x| TileMut::new(x, rows, columns, columns)).collect();
    let half = columns.div_ceil(2);
    for part in [0..half, half..columns] {
        let area = Area { first: part.start, stride: columns };
        let tiles = wholes.iter_mut().map(|tile| tile.part(0..rows, part.clone()));
        interpreter.run(area, &live, &io, &mut scratch, &mut tiles.collect::<Vec<_>>());
    }
    for (j, (got, expected)) in outputs.iter().zip(&expected).enumerate() {
        assert_eq!(wide(got), *expected, "result {j} of {name} on {shape:?}");
    }
}

fn everywhere(name: &str, results: &[Expr], inputs: &[&[usize]], updates: usize) {
    for shape in [[1, 1], [1, 2], [3, 7], [2, 1030], [5, 64]] {
        let sized = |s: &&[usize]| match s {
            [0] => vec![shape[1]],
            [0, 0] => shape.to_vec(),
            [0, 1] => vec![shape[0], 1],
            other => other.to_vec(),
        };
        let sizes: Vec<_> = inputs.iter().map(sized).collect();
        let sizes: Vec<_> = sizes.iter().map(Vec::as_slice).collect();
        check(name, results, &sizes, updates, shape);
    }
}

#[test]
fn outputs_are_updated_in_place() {
    let [a, b, c] = [0, 1, 2].map(Expr::input);
    everywhere("sum", &[&b + &a], &[&[0, 0]], 1);
    everywhere("difference", &[&b - &a], &[&[0, 0]], 1);
    everywhere("difference the other way", &[&a - &b], &[&[0, 0]], 1);
    everywhere("square of the old", &[&b * &b], &[&[0, 0]], 1);
    everywhere("the old twice", &[&b + &b], &[&[0]], 1);
    // The old content is read after the result is known.
    everywhere("a later reader", &[&b + &a, (&b + &a) * &c + &b], &[&[0, 0]], 2);
    everywhere("nothing changes", &[b.clone(), c.clone()], &[&[0, 0]], 2);
    everywhere("exchanged", &[c.clone(), b.clone()], &[&[0, 0]], 2);
    everywhere("one for both", &[&b + &c, &b + &c], &[&[0, 0]], 2);
    everywhere("the old as another's", &[&b + &a, b.clone(), a.clone()], &[&[0, 0]], 1);
    everywhere("an operand as a result", &[a.clone(), a.clone()], &[&[0]], 1);
}

/// A step of Adam of which only the parameter is wanted: two results of its loop have no output.
#[test]
fn what_a_long_loop_leaves_beside_has_room() {
    let [p, m, v, g] = [0, 1, 2, 3].map(Expr::input);
    let (mean, square) = (&m + (&g - &m) * 0.125, &v * 0.5 + (&g * &g) * 0.25);
    let program = Program::new(4, &[&p - (&mean * 0.5) / (square.sqrt() * 2.0 + 0.0625)]);
    let count = 5000;
    let mut values: Vec<_> = (0..4).map(|i| numbers(count, i)).collect();
    values[2].iter_mut().for_each(|x| *x = x.abs());
    let shape = Shape::fixed(&[1, count]);
    let source = |i| Source::Input(i, TensorType::f32(shape.clone()));
    let interpreter = Interpreter::new(&program, &[0, 1, 2, 3].map(source), &shape);
    let buffers = Inputs(&values);
    let io = TaskIo::new(&buffers, &mut []);
    let live = Live { rows: 1, seed: 1, step: 1 };
    let of_parts = |part: usize| {
        let mut scratch = vec![f32::NAN; interpreter.scratch()];
        interpreter.prepare(&io, &mut scratch);
        let mut output = vec![f32::NAN; count];
        for (i, part_of) in output.chunks_mut(part).enumerate() {
            let (area, n) = (Area { first: i * part, stride: count }, part_of.len());
            let tile = TileMut::new(part_of, 1, n, n);
            interpreter.run(area, &live, &io, &mut scratch, &mut [tile]);
        }
        output
    };
    assert_eq!(of_parts(count), of_parts(100));
}

#[test]
fn pairs_are_joined() {
    let [a, b, c, d] = [0, 1, 2, 3].map(Expr::input);
    let inputs: [&[usize]; 3] = [&[0, 0], &[0], &[0, 0]];
    for first in [&a + &b, &a - &b, &a * &b] {
        let seconds =
            [&first + &c, &c + &first, &first - &c, &c - &first, &first * &c, &c * &first];
        for second in seconds {
            everywhere("a pair", std::slice::from_ref(&second), &inputs, 0);
            everywhere("a pair and its first", &[second.clone(), first.clone()], &inputs, 0);
            everywhere("a third", &[&second + &a * &d], &inputs, 1);
            everywhere("itself twice", &[&first + &first, second], &inputs, 0);
        }
        // Exact, since the divisor is a power of two.
        everywhere("a quotient", &[&first / (&c * 0.0 + 4.0)], &inputs, 0);
    }
}

#[test]
fn scalars_choose_the_code() {
    let x: Vec<_> = (0..8).map(Expr::input).collect();
    for flag in [0.0, 1.0] {
        let accepted = x[0].clone() * 0.0 + flag;
        let new = &x[2] + &x[1] * 2.0;
        let results = [accepted.select(&new, &x[2]), accepted.select(&new * &x[3], &x[3])];
        everywhere("guarded", &results, &[&[1], &[0, 0]], 2);
        let nested = accepted.select(accepted.equal(1.0).select(&x[1], 3.0), &x[0]);
        everywhere("nested", &[&nested + &x[2]], &[&[1], &[0, 0]], 1);
    }
    // More of them than have code of their own.
    let many = (0..6).map(|i| x[i].less(0.0).select(&x[6], &x[6] * i as f64));
    let sum = many.reduce(|a, b| a + b).expect("six");
    everywhere("many", &[sum], &[&[1], &[1, 1], &[1], &[1], &[1], &[1], &[0]], 0);
}

#[test]
fn operands_are_broadcast() {
    let sum = |n: usize| (0..n).map(Expr::input).reduce(|a, b| a + b).expect("some");
    everywhere("every kind", &[sum(5)], &[&[0, 0], &[0], &[0, 1], &[1], &[1, 1]], 0);
    // More than are read in place.
    let kinds: [&[usize]; 4] = [&[0, 0], &[0], &[0, 1], &[1]];
    let inputs: Vec<_> = (0..40).map(|i| kinds[i % 4]).collect();
    everywhere("forty", &[sum(41)], &inputs, 1);
}

#[test]
fn ranges_that_leave_elements_out_are_refused() {
    let x = TensorType::f32(Shape::fixed(&[200]));
    let op = Pointwise::new(1, &(Expr::input(0) + 1.0));
    let refused = |ends: &[usize]| op.clone().in_ranges(ends).outputs(std::slice::from_ref(&x));
    assert!(refused(&[64, 200]).is_ok() && refused(&[200]).is_ok());
    for ends in [&[60, 200][..], &[0, 200], &[64, 64, 200], &[128, 64, 200], &[64, 192], &[64, 256]]
    {
        let error = refused(ends).expect_err("refused").to_string();
        assert!(error.contains("they must rise by multiples of 64 to the end of [200]"), "{error}");
    }
}
