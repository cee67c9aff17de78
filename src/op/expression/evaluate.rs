//! The definition of every node, in `f64`: what the reference executor runs.

use super::{Binary, Node, Program, Unary};

impl Unary {
    /// The function's value in `f64`.
    pub fn evaluate(self, x: f64) -> f64 {
        match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Sign if x == 0.0 || x.is_nan() => x,
            Unary::Sign => x.signum(),
            Unary::Floor => x.floor(),
            Unary::Exp => x.exp(),
            Unary::Expm1 => x.exp_m1(),
            Unary::Log => x.ln(),
            Unary::Log1p => x.ln_1p(),
            Unary::Sqrt => x.sqrt(),
            Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Unary::Tanh => x.tanh(),
            Unary::Erf => erf(x),
            Unary::Sin => x.sin(),
            Unary::Cos => x.cos(),
        }
    }
}

impl Binary {
    /// The function's value in `f64`.
    pub fn evaluate(self, x: f64, y: f64) -> f64 {
        let flag = |yes: bool| if yes { 1.0 } else { 0.0 };
        match self {
            Binary::Add => x + y,
            Binary::Sub => x - y,
            Binary::Mul => x * y,
            Binary::Div => x / y,
            Binary::Min | Binary::Max if x.is_nan() || y.is_nan() => f64::NAN,
            Binary::Min => x.min(y),
            Binary::Max => x.max(y),
            Binary::Pow => x.powf(y),
            Binary::Less => flag(x < y),
            Binary::LessEqual => flag(x <= y),
            Binary::Equal => flag(x == y),
        }
    }
}

impl Program {
    /// The results for one element; `uniform` gives the random number of a stream.
    pub fn evaluate(&self, inputs: &[f64], uniform: impl Fn(u32) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            values.push(match *node {
                Node::Input(i) => inputs[i],
                Node::Constant(c) => c,
                Node::Unary(op, a) => op.evaluate(values[a]),
                Node::Binary(op, a, b) => op.evaluate(values[a], values[b]),
                Node::Select(c, a, _) if values[c] != 0.0 => values[a],
                Node::Select(_, _, b) => values[b],
                Node::Uniform(stream) => uniform(stream),
            });
        }
        self.outputs.iter().map(|&i| values[i]).collect()
    }
}

/// The error function in double precision: the Maclaurin series near 0, the continued fraction of
/// `erfc` beyond (Abramowitz and Stegun 7.1.5 and 7.1.14), each carried on until it stands still.
fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a.is_nan() {
        return x;
    }
    if a > 6.0 {
        return x.signum();
    }
    if a < 2.5 {
        let (mut term, mut sum, mut n) = (a, a, 0.0);
        while term.abs() > sum * 1e-18 {
            n += 1.0;
            term *= -a * a / n;
            sum += term / (2.0 * n + 1.0);
        }
        return (sum * std::f64::consts::FRAC_2_SQRT_PI).copysign(x);
    }
    let mut fraction = 0.0;
    for n in (1..=120).rev() {
        fraction = f64::from(n) * 0.5 / (a + fraction);
    }
    let erfc = (-a * a).exp() / ((a + fraction) * std::f64::consts::PI.sqrt());
    (1.0 - erfc).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::erf;

    /// Values from Abramowitz and Stegun, table 7.1.
    #[test]
    fn erf_matches_the_tables() {
        let table = [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
        ];
        for (x, expected) in table {
            assert!((erf(x) - expected).abs() <= 4.0 * f64::EPSILON, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
    }
}
