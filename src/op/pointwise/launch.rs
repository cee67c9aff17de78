//! The CUDA form: the program is printed into `kernels/pointwise.cu`.

use std::fmt::Write;

use super::{Pointwise, broadcast_strides};
use crate::op::expression::Program;
use crate::op::launch::{Argument, Kernel, Launch, Launches, Target, is_wide};
use crate::op::{Access, CallTypes, Op};
use crate::tensor::{DType, Shape, TensorType};

const THREADS: u32 = 256;

pub(super) fn launches(
    op: &Pointwise,
    types: &CallTypes,
    capacity: usize,
    target: &Target,
) -> Launches {
    let shape = &types.outputs[0].shape;
    let (parameters, names) = parameters(types);
    let all = types.inputs.iter().chain(&types.outputs).map(|t| &t.shape);
    let kernel = Kernel::new("pointwise")
        .constant("WIDE", u32::from(is_wide(all, capacity)))
        .size("COUNT", shape)
        .printed("parameters", parameters)
        .printed("names", names)
        .printed("ends", ends(op))
        .printed("body", body(op, types, capacity));
    let arguments = std::iter::once(Argument::Live)
        .chain((0..types.inputs.len()).map(Argument::Input))
        .chain((0..types.outputs.len()).map(Argument::Output))
        .collect();
    let items = shape.elements(capacity).div_ceil(4);
    let grid = [target.blocks(items, THREADS), 1, 1];
    Launches::one(Launch {
        kernel,
        entry: "pointwise",
        grid,
        threads: THREADS,
        shared: 0,
        arguments,
    })
}

/// `const float* x0, .., float* y0, ..` for a call's inputs and outputs, and the names alone.
pub(in crate::op) fn parameters(types: &CallTypes) -> (String, String) {
    let (mut typed, mut names) = (Vec::new(), Vec::new());
    for (i, ty) in types.inputs.iter().enumerate() {
        let element = if ty.dtype == DType::U32 { "u32" } else { "float" };
        typed.push(format!("const {element}* x{i}"));
        names.push(format!("x{i}"));
    }
    for j in 0..types.outputs.len() {
        typed.push(format!("float* y{j}"));
        names.push(format!("y{j}"));
    }
    (typed.join(", "), names.join(", "))
}

/// The text that computes `W` elements from `i` on.
fn body(op: &Pointwise, types: &CallTypes, capacity: usize) -> String {
    let shape = &types.outputs[0].shape;
    let (program, inputs) = (op.program(), types.inputs.len());
    let (mut text, mut operands) = (String::new(), Vec::new());
    if !op.ranges.is_empty() {
        text.push_str("    const int range = range_of(i);\n");
    }
    for (k, ty) in types.inputs.iter().enumerate() {
        operands.push(format!("a{k}[k]"));
        if program.reads(k) {
            text.push_str(&match op.is_by_range(ty) {
                true => gathered(k, "range"),
                false => loaded(k, ty, shape, capacity),
            });
        }
    }
    for j in (0..op.updates()).filter(|j| op.access(*j) == Access::Update) {
        let k = inputs + j;
        operands.push(format!("a{k}[k]"));
        let _ = writeln!(text, "    float a{k}[W]; load<W>(a{k}, y{j}, i);");
    }
    text + &applied(program, &operands)
}

/// The text that loads what `W` elements of the output from `i` on read of input `k`, as `a<k>`.
pub(in crate::op) fn loaded(k: usize, ty: &TensorType, output: &Shape, capacity: usize) -> String {
    match index(ty, output, capacity) {
        Index::Whole => format!("    float a{k}[W]; load<W>(a{k}, x{k}, i);\n"),
        Index::At(at) => gathered(k, &at),
    }
}

/// The text that loads `W` elements of input `k` as `a<k>`, each from where `at` says.
fn gathered(k: usize, at: &str) -> String {
    format!("    float a{k}[W]; for (int k = 0; k < W; k++) a{k}[k] = (float)x{k}[{at}];\n")
}

/// Where all ranges but the last end.
fn ends(op: &Pointwise) -> String {
    let ends = op.ranges.iter().take(op.ranges.len().saturating_sub(1));
    ends.map(|end| format!("    range += i >= {end};\n")).collect()
}

/// The text that computes a program on its operands' `k`-th elements and stores its results, `W`
/// elements from `i` on.
pub(in crate::op) fn applied(program: &Program, operands: &[String]) -> String {
    let (statements, results) = program.cuda(operands, "(u64)(i + k)");
    let mut text = String::new();
    for j in 0..results.len() {
        let _ = writeln!(text, "    float b{j}[W];");
    }
    let _ = writeln!(text, "#pragma unroll\n    for (int k = 0; k < W; k++) {{\n{statements}");
    for (j, result) in results.iter().enumerate() {
        let _ = writeln!(text, "        b{j}[k] = {result};");
    }
    text.push_str("    }\n");
    for j in 0..results.len() {
        let _ = writeln!(text, "    store<W>(y{j}, i, b{j});");
    }
    text
}

enum Index {
    /// The element's own.
    Whole,
    /// A printed one, of element `i + k`.
    At(String),
}

/// Where element `i + k` of the output finds its operand. All dimensions but the first have known
/// sizes, so divisors and strides are constants.
fn index(ty: &TensorType, output: &Shape, capacity: usize) -> Index {
    if ty.shape == *output && ty.dtype == DType::F32 {
        return Index::Whole;
    }
    Index::At(broadcast_index(&ty.shape, output, capacity, "(i + k)"))
}

/// The index in a buffer of shape `operand`, which broadcasts to `output`, of the output's element
/// `element`, as C.
fn broadcast_index(operand: &Shape, output: &Shape, capacity: usize, element: &str) -> String {
    let sizes = output.sizes(capacity);
    let strides = broadcast_strides(&operand.sizes(capacity), &sizes);
    let (mut terms, mut inner) = (Vec::new(), 1);
    for d in (0..sizes.len()).rev() {
        if strides[d] != 0 {
            let quotient = if inner == 1 { element.into() } else { format!("{element} / {inner}") };
            let digit = if d == 0 { quotient } else { format!("{quotient} % {}", sizes[d]) };
            terms.push(if strides[d] == 1 { digit } else { format!("({digit}) * {}", strides[d]) });
        }
        inner *= sizes[d];
    }
    if terms.is_empty() { "0".into() } else { terms.join(" + ") }
}
