//! Symbolic derivatives: one reverse walk over a program's nodes.
//!
//! The derivative of `select` is a `select`, never a product with 0 or 1, so an infinity in the
//! branch not taken does not become NaN. Values at ties follow PyTorch: `max(a, a)` gives one half
//! to each side, `|x|` and `sign` have derivative 0 at 0.

use super::{Binary, Builder, Node, Program, Unary};

impl Program {
    /// The gradient program: its operands are this program's, then one upstream gradient per
    /// result; its results are the gradients of the operands listed in `wanted`.
    pub fn gradient(&self, wanted: &[usize]) -> Program {
        let mut walk = Walk::new(self, wanted);
        for (j, &output) in self.outputs.iter().enumerate() {
            if walk.active[output] {
                let upstream = walk.builder.push(Node::Input(self.inputs + j));
                walk.add(output, upstream);
            }
        }
        for i in (0..self.nodes.len()).rev() {
            if let (true, Some(g)) = (walk.active[i], walk.adjoint[i]) {
                walk.node(i, self.nodes[i], g);
            }
        }
        let outputs = wanted
            .iter()
            .map(|&operand| {
                let node = self.nodes.iter().position(|n| *n == Node::Input(operand));
                match node.and_then(|i| walk.adjoint[i]) {
                    Some(gradient) => gradient,
                    None => walk.builder.push(Node::Constant(0.0)),
                }
            })
            .collect();
        walk.builder.finish(outputs)
    }
}

struct Walk {
    builder: Builder,
    /// Where each forward node stands in the new program.
    place: Vec<usize>,
    /// Whether a wanted operand is below the node.
    active: Vec<bool>,
    adjoint: Vec<Option<usize>>,
}

impl Walk {
    fn new(program: &Program, wanted: &[usize]) -> Self {
        let mut builder = Builder::new(program.inputs + program.outputs.len());
        let mut place: Vec<usize> = Vec::new();
        let mut active: Vec<bool> = Vec::new();
        for node in &program.nodes {
            place.push(builder.push(node.map(|i| place[i])));
            active.push(match node {
                Node::Input(i) => wanted.contains(i),
                other => other.operands().any(|i| active[i]),
            });
        }
        let adjoint = vec![None; program.nodes.len()];
        Walk { builder, place, active, adjoint }
    }

    fn add(&mut self, node: usize, gradient: usize) {
        if self.active[node] {
            self.adjoint[node] = Some(match self.adjoint[node] {
                None => gradient,
                Some(sum) => self.builder.push(Node::Binary(Binary::Add, sum, gradient)),
            });
        }
    }

    fn constant(&mut self, value: f64) -> usize {
        self.builder.push(Node::Constant(value))
    }

    fn unary(&mut self, op: Unary, a: usize) -> usize {
        self.builder.push(Node::Unary(op, a))
    }

    fn binary(&mut self, op: Binary, a: usize, b: usize) -> usize {
        self.builder.push(Node::Binary(op, a, b))
    }

    fn node(&mut self, i: usize, node: Node, g: usize) {
        match node {
            Node::Input(_) | Node::Constant(_) | Node::Uniform(_) => {}
            Node::Unary(op, a) => {
                if let Some(gradient) = self.unary_rule(op, self.place[a], self.place[i], g) {
                    self.add(a, gradient);
                }
            }
            Node::Binary(op, a, b) => self.binary_rule(op, (a, b), self.place[i], g),
            Node::Select(c, a, b) => {
                let (c, zero) = (self.place[c], self.constant(0.0));
                let yes = self.builder.push(Node::Select(c, g, zero));
                let no = self.builder.push(Node::Select(c, zero, g));
                self.add(a, yes);
                self.add(b, no);
            }
        }
    }

    /// Gradient of the operand `x` of `y = op(x)`.
    fn unary_rule(&mut self, op: Unary, x: usize, y: usize, g: usize) -> Option<usize> {
        use Binary::{Add, Div, Mul, Sub};
        let one = self.constant(1.0);
        let slope = match op {
            Unary::Sign | Unary::Floor => return None,
            Unary::Neg => return Some(self.unary(Unary::Neg, g)),
            Unary::Log => return Some(self.binary(Div, g, x)),
            Unary::Log1p => {
                let sum = self.binary(Add, one, x);
                return Some(self.binary(Div, g, sum));
            }
            Unary::Sqrt => {
                let twice = self.binary(Add, y, y);
                return Some(self.binary(Div, g, twice));
            }
            Unary::Abs => self.unary(Unary::Sign, x),
            Unary::Exp => y,
            Unary::Expm1 => self.binary(Add, y, one),
            Unary::Sigmoid => {
                let rest = self.binary(Sub, one, y);
                self.binary(Mul, y, rest)
            }
            Unary::Tanh => {
                let square = self.binary(Mul, y, y);
                self.binary(Sub, one, square)
            }
            Unary::Erf => {
                let square = self.binary(Mul, x, x);
                let minus = self.unary(Unary::Neg, square);
                let gauss = self.unary(Unary::Exp, minus);
                let factor = self.constant(std::f64::consts::FRAC_2_SQRT_PI);
                self.binary(Mul, gauss, factor)
            }
            Unary::Sin => self.unary(Unary::Cos, x),
            Unary::Cos => {
                let sine = self.unary(Unary::Sin, x);
                self.unary(Unary::Neg, sine)
            }
        };
        Some(self.binary(Mul, g, slope))
    }

    fn binary_rule(&mut self, op: Binary, (a, b): (usize, usize), y: usize, g: usize) {
        let (x, z) = (self.place[a], self.place[b]);
        match op {
            Binary::Less | Binary::LessEqual | Binary::Equal => {}
            Binary::Add => {
                self.add(a, g);
                self.add(b, g);
            }
            Binary::Sub => {
                self.add(a, g);
                let minus = self.unary(Unary::Neg, g);
                self.add(b, minus);
            }
            Binary::Mul => {
                let (left, right) =
                    (self.binary(Binary::Mul, g, z), self.binary(Binary::Mul, g, x));
                self.add(a, left);
                self.add(b, right);
            }
            Binary::Div => {
                let left = self.binary(Binary::Div, g, z);
                self.add(a, left);
                let product = self.binary(Binary::Mul, left, y);
                let right = self.unary(Unary::Neg, product);
                self.add(b, right);
            }
            Binary::Min => self.extreme_rule((a, b), (z, x), g),
            Binary::Max => self.extreme_rule((a, b), (x, z), g),
            Binary::Pow => self.power_rule((a, b), (x, z), y, g),
        }
    }

    /// `max(x, z)`, or `min` with both swapped: all to the larger, one half to each at a tie.
    fn extreme_rule(&mut self, (a, b): (usize, usize), (x, z): (usize, usize), g: usize) {
        let (zero, half) = (self.constant(0.0), self.constant(0.5));
        let tie = self.binary(Binary::Equal, x, z);
        let halved = self.binary(Binary::Mul, g, half);
        let share = self.builder.push(Node::Select(tie, halved, g));
        for (operand, (mine, other)) in [(a, (x, z)), (b, (z, x))] {
            let loses = self.binary(Binary::Less, mine, other);
            let gradient = self.builder.push(Node::Select(loses, zero, share));
            self.add(operand, gradient);
        }
    }

    fn power_rule(&mut self, (a, b): (usize, usize), (x, z): (usize, usize), y: usize, g: usize) {
        let (zero, one) = (self.constant(0.0), self.constant(1.0));
        if self.active[a] {
            let less = self.binary(Binary::Sub, z, one);
            let power = self.binary(Binary::Pow, x, less);
            let slope = self.binary(Binary::Mul, z, power);
            let product = self.binary(Binary::Mul, g, slope);
            let flat = self.binary(Binary::Equal, z, zero);
            let gradient = self.builder.push(Node::Select(flat, zero, product));
            self.add(a, gradient);
        }
        if self.active[b] {
            let log = self.unary(Unary::Log, x);
            let slope = self.binary(Binary::Mul, y, log);
            let product = self.binary(Binary::Mul, g, slope);
            let at_zero = self.binary(Binary::Equal, x, zero);
            let above = self.binary(Binary::LessEqual, zero, z);
            let kept = self.builder.push(Node::Select(above, zero, product));
            let gradient = self.builder.push(Node::Select(at_zero, kept, product));
            self.add(b, gradient);
        }
    }
}
