//! Scalar expressions: activations, element-wise losses, dropout and update rules are written once
//! with them, differentiated symbolically, fused, and run on every device.
//!
//! [`Expr`] is what one writes, with operators and methods; [`Program`] is what is kept: a flat
//! list of nodes in which every node reads earlier ones, equal nodes being shared.
//!
//! ```
//! use ironwarp::op::expression::{Expr, Program};
//! let x = Expr::input(0);
//! let silu = x.clone() * x.sigmoid();
//! let program = Program::new(1, &[silu]);
//! assert_eq!(program.evaluate(&[0.0], |_| 0.0), [0.0]);
//! ```

mod builder;
mod cuda;
mod derivative;
mod evaluate;
mod text;

use std::sync::Arc;

pub use builder::Builder;

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names are the functions
pub enum Unary {
    Neg,
    Abs,
    Sign,
    Floor,
    Exp,
    Expm1,
    Log,
    Log1p,
    Sqrt,
    Sigmoid,
    Tanh,
    Erf,
    Sin,
    Cos,
}

/// A function of two numbers; comparisons give 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the names are the functions
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    /// NaN if either is NaN, as in PyTorch.
    Min,
    /// NaN if either is NaN, as in PyTorch.
    Max,
    Pow,
    Less,
    LessEqual,
    Equal,
}

/// One node of a [`Program`]; operands are indices of earlier nodes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Node {
    /// The element of an operand.
    Input(usize),
    /// A constant; rounded to `f32` on devices, kept in `f64` by the reference.
    Constant(f64),
    /// A function of one number.
    Unary(Unary, usize),
    /// A function of two numbers.
    Binary(Binary, usize, usize),
    /// The second if the first is not zero, else the third.
    Select(usize, usize, usize),
    /// A uniform number in 0..1 from Philox, keyed by this stream and the element's index.
    Uniform(u32),
}

impl Node {
    /// Indices of the nodes that this one reads.
    pub fn operands(&self) -> impl Iterator<Item = usize> {
        let (count, list) = match *self {
            Node::Input(_) | Node::Constant(_) | Node::Uniform(_) => (0, [0; 3]),
            Node::Unary(_, a) => (1, [a, 0, 0]),
            Node::Binary(_, a, b) => (2, [a, b, 0]),
            Node::Select(c, a, b) => (3, [c, a, b]),
        };
        list.into_iter().take(count)
    }

    /// The same with other operands.
    pub(crate) fn map(&self, f: impl Fn(usize) -> usize) -> Node {
        match *self {
            Node::Unary(op, a) => Node::Unary(op, f(a)),
            Node::Binary(op, a, b) => Node::Binary(op, f(a), f(b)),
            Node::Select(c, a, b) => Node::Select(f(c), f(a), f(b)),
            other => other,
        }
    }
}

/// A scalar expression. Cheap to clone; built with operators and methods.
#[derive(Clone, Debug)]
pub struct Expr(Arc<Tree>);

#[derive(Debug)]
enum Tree {
    Leaf(Node),
    Unary(Unary, Expr),
    Binary(Binary, Expr, Expr),
    Select(Expr, Expr, Expr),
}

impl Expr {
    /// The element of operand `i`.
    pub fn input(i: usize) -> Expr {
        Expr(Arc::new(Tree::Leaf(Node::Input(i))))
    }

    /// A constant.
    pub fn constant(value: f64) -> Expr {
        Expr(Arc::new(Tree::Leaf(Node::Constant(value))))
    }

    /// A uniform number in 0..1, a new one for each element, step and stream.
    pub fn uniform(stream: u32) -> Expr {
        Expr(Arc::new(Tree::Leaf(Node::Uniform(stream))))
    }

    /// Applies a function of one number.
    pub fn unary(&self, op: Unary) -> Expr {
        Expr(Arc::new(Tree::Unary(op, self.clone())))
    }

    /// Applies a function of two numbers.
    pub fn binary(&self, op: Binary, other: impl Into<Expr>) -> Expr {
        Expr(Arc::new(Tree::Binary(op, self.clone(), other.into())))
    }

    /// `yes` where this is not zero, else `no`.
    pub fn select(&self, yes: impl Into<Expr>, no: impl Into<Expr>) -> Expr {
        Expr(Arc::new(Tree::Select(self.clone(), yes.into(), no.into())))
    }

    /// The square.
    pub fn square(&self) -> Expr {
        self.clone() * self.clone()
    }

    /// `max(x, 0) + log(1 + exp(-|x|))`, which does not overflow.
    pub fn softplus(&self) -> Expr {
        self.max(0.0) + (-self.abs()).exp().log1p()
    }
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Expr {
            $($(#[$doc])* pub fn $name(&self) -> Expr { self.unary(Unary::$op) })*
        }
    };
}

unary_methods! {
    /// The absolute value.
    abs Abs;
    /// -1, 0 or 1.
    sign Sign;
    /// The largest integer not above.
    floor Floor;
    /// e to the power.
    exp Exp;
    /// `exp(x) - 1`, accurate near 0.
    expm1 Expm1;
    /// Natural logarithm.
    log Log;
    /// `log(1 + x)`, accurate near 0.
    log1p Log1p;
    /// Square root.
    sqrt Sqrt;
    /// `1 / (1 + exp(-x))`.
    sigmoid Sigmoid;
    /// Hyperbolic tangent.
    tanh Tanh;
    /// Error function.
    erf Erf;
    /// Sine.
    sin Sin;
    /// Cosine.
    cos Cos;
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $name:ident $op:ident;)*) => {
        impl Expr {
            $($(#[$doc])* pub fn $name(&self, other: impl Into<Expr>) -> Expr {
                self.binary(Binary::$op, other)
            })*
        }
    };
}

binary_methods! {
    /// The smaller; NaN if either is.
    min Min;
    /// The larger; NaN if either is.
    max Max;
    /// The power.
    pow Pow;
    /// 1 if less, else 0.
    less Less;
    /// 1 if less or equal, else 0.
    less_equal LessEqual;
    /// 1 if equal, else 0.
    equal Equal;
}

impl From<f64> for Expr {
    fn from(value: f64) -> Self {
        Expr::constant(value)
    }
}

impl From<&Expr> for Expr {
    fn from(expr: &Expr) -> Self {
        expr.clone()
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:ident;)*) => {$(
        impl<T: Into<Expr>> std::ops::$trait<T> for Expr {
            type Output = Expr;
            fn $method(self, other: T) -> Expr { self.binary(Binary::$op, other) }
        }
        impl<T: Into<Expr>> std::ops::$trait<T> for &Expr {
            type Output = Expr;
            fn $method(self, other: T) -> Expr { self.binary(Binary::$op, other) }
        }
        impl std::ops::$trait<Expr> for f64 {
            type Output = Expr;
            fn $method(self, other: Expr) -> Expr { Expr::constant(self).binary(Binary::$op, other) }
        }
        impl std::ops::$trait<&Expr> for f64 {
            type Output = Expr;
            fn $method(self, other: &Expr) -> Expr { Expr::constant(self).binary(Binary::$op, other) }
        }
    )*};
}

operators! { Add add Add; Sub sub Sub; Mul mul Mul; Div div Div; }

impl std::ops::Neg for Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        self.unary(Unary::Neg)
    }
}

impl std::ops::Neg for &Expr {
    type Output = Expr;
    fn neg(self) -> Expr {
        self.unary(Unary::Neg)
    }
}

/// A flat list of nodes with one or several results.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    inputs: usize,
    nodes: Vec<Node>,
    outputs: Vec<usize>,
}

impl Program {
    /// The program of these expressions over `inputs` operands.
    ///
    /// # Panics
    /// If an expression reads an operand beyond `inputs`.
    pub fn new(inputs: usize, expressions: &[Expr]) -> Program {
        let mut builder = Builder::new(inputs);
        let outputs: Vec<_> = expressions.iter().map(|e| builder.lower(e)).collect();
        builder.finish(outputs)
    }

    /// Number of operands.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The nodes; each reads earlier ones.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Nodes that are the results.
    pub fn outputs(&self) -> &[usize] {
        &self.outputs
    }

    /// Whether operand `i` is read.
    pub fn reads(&self, i: usize) -> bool {
        self.nodes.contains(&Node::Input(i))
    }
}
