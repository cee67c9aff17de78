//! The example calls: all transpose forms, batches, epilogues.

use super::Matmul;
use crate::op::expression::{Expr, Program};
use crate::op::{Case, Family};
use crate::tensor::{Shape, TensorType};

fn rows(dims: &[usize]) -> TensorType {
    TensorType::f32(Shape::rows(dims))
}

fn fixed(dims: &[usize]) -> TensorType {
    TensorType::f32(Shape::fixed(dims))
}

impl Family for Matmul {
    const NAME: &'static str = "matmul";

    fn cases() -> Vec<Case> {
        let mut cases = Vec::new();
        for transpose_a in [false, true] {
            for transpose_b in [false, true] {
                let op = Matmul::new(transpose_a, transpose_b);
                let pair = |m: usize, k: usize, swap| if swap { [k, m] } else { [m, k] };
                for (m, k, n) in [(1, 1, 1), (2, 3, 5), (17, 33, 65), (1, 64, 7), (37, 129, 1)] {
                    let a = fixed(&pair(m, k, transpose_a));
                    let b = fixed(&pair(k, n, transpose_b));
                    cases.push(Case::new(op.clone(), vec![a, b], 1));
                }
                let a = rows(&pair(5, 7, transpose_a));
                let b = rows(&pair(7, 3, transpose_b));
                cases.push(Case::new(op, vec![a, b], 3));
            }
        }
        cases.push(Case::new(Matmul::nt(), vec![rows(&[64]), fixed(&[10, 64])], 17));
        cases.push(Case::new(Matmul::nn(), vec![rows(&[13]), fixed(&[13, 1])], 1));
        cases.push(Case::new(Matmul::tn(), vec![rows(&[5]), rows(&[11])], 29));
        cases.push(Case::new(Matmul::nt(), vec![rows(&[4, 6]), fixed(&[5, 6])], 3));
        // Several tiles of every size, whole ones too; few rows and few columns.
        cases.push(Case::new(Matmul::nn(), vec![fixed(&[256, 16]), fixed(&[16, 132])], 1));
        cases.push(Case::new(Matmul::nt(), vec![rows(&[64]), fixed(&[260, 64])], 3));
        cases.push(Case::new(Matmul::tn(), vec![rows(&[192]), rows(&[6])], 40));
        // Sums in parts: over rows, and in several matrices.
        cases.push(Case::new(Matmul::tn(), vec![rows(&[3, 20]), rows(&[3, 36])], 5));
        cases.push(Case::new(Matmul::tn(), vec![rows(&[20]), rows(&[36])], 300));
        cases.push(Case::new(Matmul::nt(), vec![rows(&[2, 3, 260]), rows(&[2, 8, 260])], 2));
        cases.extend(with_epilogues());
        cases.extend(with_row_sums());
        cases
    }
}

/// Both layouts of A, one row and several tiles of them, sums in parts, and an epilogue beside.
fn with_row_sums() -> Vec<Case> {
    let (tn, nn) = (Matmul::tn().with_row_sums(), Matmul::nn().with_row_sums());
    let [x, y] = [0, 1].map(Expr::input);
    let decay = tn.with_epilogue(Program::new(2, &[&x + &y]));
    let case =
        |op: &Matmul, a, b, rows| Case::new(op.clone(), vec![a, b], rows).gradients(&[], &[]);
    vec![
        case(&tn, rows(&[5]), rows(&[11]), 29),
        case(&tn, rows(&[1]), rows(&[3]), 40_000),
        case(&tn, rows(&[140]), rows(&[260]), 19),
        case(&tn, rows(&[20]), rows(&[36]), 300),
        case(&nn, fixed(&[150, 37]), fixed(&[37, 4]), 1),
        Case::new(decay, vec![rows(&[6]), rows(&[9]), fixed(&[9])], 17).gradients(&[], &[]),
    ]
}

/// A product with these results of the element and of the inputs after the first two. Fusion comes
/// after differentiation, so there are no gradients.
fn with_epilogue(op: Matmul, results: &[Expr], inputs: Vec<TensorType>, rows: usize) -> Case {
    let program = Program::new(inputs.len() - 1, results);
    Case::new(op.with_epilogue(program), inputs, rows).gradients(&[], &[])
}

/// Several results, operands of every kind.
fn with_epilogues() -> Vec<Case> {
    let [x, y, z] = [0, 1, 2].map(Expr::input);
    let (nn, nt, tn) = (Matmul::nn, Matmul::nt, Matmul::tn);
    let biased = &x + &y;
    let slope = &x * (1.0 - y.square());
    let scaled = [&x * &y, Expr::uniform(3) + &x];
    let others = [Expr::constant(2.0), y.clone(), x.clone()];
    let bias = vec![rows(&[9]), fixed(&[10, 9]), fixed(&[10])];
    let full = vec![rows(&[7]), fixed(&[7, 5]), rows(&[5])];
    let decay = vec![rows(&[5]), rows(&[11]), fixed(&[1, 1]), fixed(&[5, 11])];
    let single = vec![fixed(&[1, 1]), fixed(&[1, 1])];
    let by_row = vec![rows(&[6]), fixed(&[21, 6]), rows(&[1])];
    let narrow = vec![rows(&[3]), fixed(&[3, 4]), fixed(&[4])];
    let mut cases = vec![
        with_epilogue(nt(), &[biased.tanh(), biased], bias, 17),
        with_epilogue(nn(), &[slope], full, 13),
        with_epilogue(tn(), &[&x + &z * &y], decay, 29),
        with_epilogue(nn(), &[x.clone(), x.square()], single, 1),
        with_epilogue(nt(), &scaled, by_row, 5),
        // A result that is the same everywhere, and an operand as a result.
        with_epilogue(nn(), &others, narrow, 2),
    ];
    cases.extend(with_epilogues_by_parts());
    cases
}

/// Tiles of parts of rows, a k of several blocks, a single row, several matrices.
fn with_epilogues_by_parts() -> Vec<Case> {
    let [x, y] = [0, 1].map(Expr::input);
    let (nn, nt) = (Matmul::nn, Matmul::nt);
    let biased = &x + &y;
    let relu = biased.less_equal(0.0).select(0.0, &biased);
    let random = Expr::uniform(1) * &x + &y;
    let one = vec![rows(&[300]), fixed(&[37, 300]), fixed(&[37])];
    let long = vec![rows(&[517]), fixed(&[517, 33]), fixed(&[33])];
    let wide = vec![rows(&[64]), fixed(&[150, 64]), fixed(&[150])];
    let stacked = vec![rows(&[4, 6]), fixed(&[5, 6]), fixed(&[4, 1])];
    let batched = vec![rows(&[4, 6]), rows(&[6, 5]), rows(&[4, 5])];
    vec![
        with_epilogue(nt(), std::slice::from_ref(&relu), one, 1),
        with_epilogue(nn(), &[relu, &y - &x], long, 3),
        with_epilogue(nt(), &[biased.sigmoid() - Expr::uniform(2), biased.clone()], wide, 70),
        with_epilogue(nt(), &[biased], stacked, 3),
        with_epilogue(nn(), &[random], batched, 3),
    ]
}
