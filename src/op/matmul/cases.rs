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
        cases
    }
}

/// Several results, operands of every kind, tiles of whole rows and of parts of rows, a k of several
/// blocks, batches. Fusion comes after differentiation, so they have no gradients.
fn with_epilogues() -> Vec<Case> {
    let [x, y, z] = [0, 1, 2].map(Expr::input);
    let case = |op: Matmul, operands: usize, results: &[Expr], inputs: Vec<TensorType>, live| {
        let op = op.with_epilogue(Program::new(1 + operands, results));
        Case::new(op, inputs, live).gradients(&[], &[])
    };
    let biased = &x + &y;
    let relu = biased.less_equal(0.0).select(0.0, &biased);
    let slope = x.clone() * (1.0 - y.square());
    let (nn, nt, tn) = (Matmul::nn, Matmul::nt, Matmul::tn);
    let mut cases = vec![
        case(
            nt(),
            1,
            &[biased.tanh(), biased.clone()],
            vec![rows(&[9]), fixed(&[10, 9]), fixed(&[10])],
            17,
        ),
        case(
            nn(),
            1,
            std::slice::from_ref(&slope),
            vec![rows(&[7]), fixed(&[7, 5]), rows(&[5])],
            13,
        ),
        case(
            tn(),
            2,
            &[&x + &z * &y],
            vec![rows(&[5]), rows(&[11]), fixed(&[1, 1]), fixed(&[5, 11])],
            29,
        ),
        case(nn(), 0, &[x.clone(), x.square()], vec![fixed(&[1, 1]), fixed(&[1, 1])], 1),
        // Scaled by row, and random.
        case(
            nt(),
            1,
            &[&x * &y, Expr::uniform(3) + &x],
            vec![rows(&[6]), fixed(&[21, 6]), rows(&[1])],
            5,
        ),
        // One row; two blocks of k.
        case(
            nt(),
            1,
            std::slice::from_ref(&relu),
            vec![rows(&[300]), fixed(&[37, 300]), fixed(&[37])],
            1,
        ),
        case(nn(), 1, &[relu, &y - &x], vec![rows(&[517]), fixed(&[517, 33]), fixed(&[33])], 3),
        // A result that is the same everywhere, and an operand as a result.
        case(
            nn(),
            1,
            &[Expr::constant(2.0), y.clone(), x.clone()],
            vec![rows(&[3]), fixed(&[3, 4]), fixed(&[4])],
            2,
        ),
        // Several matrices.
        case(nt(), 1, &[&x + &y], vec![rows(&[4, 6]), fixed(&[5, 6]), fixed(&[4, 1])], 3),
        case(
            nn(),
            1,
            &[Expr::uniform(1) * &x + &y],
            vec![rows(&[4, 6]), rows(&[6, 5]), rows(&[4, 5])],
            3,
        ),
    ];
    // Tiles that are parts of rows.
    let wide = vec![rows(&[64]), fixed(&[150, 64]), fixed(&[150])];
    cases.push(case(nt(), 1, &[biased.sigmoid() - Expr::uniform(2), biased], wide, 70));
    cases
}
