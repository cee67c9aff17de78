//! Programs as CUDA C++, on the functions of `kernels/prelude.cuh`.

use std::fmt::Write;

use super::{Binary, Node, Program, Unary};

impl Program {
    /// Statements that compute the program's nodes, and the names of its results. `operands` are
    /// the texts of its operands, `element` that of the element's index, which random numbers are
    /// keyed by; a pointer `live` is in scope where there are any.
    pub fn cuda(&self, operands: &[String], element: &str) -> (String, Vec<String>) {
        let mut text = String::new();
        for (i, node) in self.nodes.iter().enumerate() {
            let value = match *node {
                Node::Input(k) => operands[k].clone(),
                Node::Constant(c) => constant(c as f32),
                Node::Uniform(stream) => format!("uniform(live, {stream}u, {element})"),
                Node::Unary(op, a) => unary(op, a),
                Node::Binary(op, a, b) => binary(op, a, b),
                Node::Select(c, a, b) => format!("n{c} != 0.0f ? n{a} : n{b}"),
            };
            let _ = writeln!(text, "        const float n{i} = {value};");
        }
        (text, self.outputs.iter().map(|output| format!("n{output}")).collect())
    }
}

/// A constant by its bits where decimals would not do.
fn constant(value: f32) -> String {
    match value.is_finite() {
        true => format!("{value:?}f"),
        false => format!("__uint_as_float({:#010x}u)", value.to_bits()),
    }
}

fn unary(op: Unary, a: usize) -> String {
    let function = match op {
        Unary::Neg => return format!("-n{a}"),
        Unary::Abs => "fabsf",
        Unary::Sign => "math::sign",
        Unary::Floor => "floorf",
        Unary::Exp => "math::exp",
        Unary::Expm1 => "math::expm1",
        Unary::Log => "math::log",
        Unary::Log1p => "math::log1p",
        Unary::Sqrt => "sqrtf",
        Unary::Sigmoid => "math::sigmoid",
        Unary::Tanh => "math::tanh",
        Unary::Erf => "math::erf",
        Unary::Sin => "math::sin",
        Unary::Cos => "math::cos",
    };
    format!("{function}(n{a})")
}

fn binary(op: Binary, a: usize, b: usize) -> String {
    let sign = match op {
        Binary::Add => "+",
        Binary::Sub => "-",
        Binary::Mul => "*",
        Binary::Div => "/",
        Binary::Min => return format!("math::min(n{a}, n{b})"),
        Binary::Max => return format!("math::max(n{a}, n{b})"),
        Binary::Pow => return format!("math::pow(n{a}, n{b})"),
        Binary::Less => return format!("n{a} < n{b} ? 1.0f : 0.0f"),
        Binary::LessEqual => return format!("n{a} <= n{b} ? 1.0f : 0.0f"),
        Binary::Equal => return format!("n{a} == n{b} ? 1.0f : 0.0f"),
    };
    format!("n{a} {sign} n{b}")
}
