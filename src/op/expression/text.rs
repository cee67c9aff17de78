//! Programs as text: short forms for the printed plan, node lists for the model file.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use super::{Binary, Node, Program, Unary};

const UNARY: [(Unary, &str); 14] = [
    (Unary::Neg, "neg"),
    (Unary::Abs, "abs"),
    (Unary::Sign, "sign"),
    (Unary::Floor, "floor"),
    (Unary::Exp, "exp"),
    (Unary::Expm1, "expm1"),
    (Unary::Log, "log"),
    (Unary::Log1p, "log1p"),
    (Unary::Sqrt, "sqrt"),
    (Unary::Sigmoid, "sigmoid"),
    (Unary::Tanh, "tanh"),
    (Unary::Erf, "erf"),
    (Unary::Sin, "sin"),
    (Unary::Cos, "cos"),
];

const BINARY: [(Binary, &str); 10] = [
    (Binary::Add, "add"),
    (Binary::Sub, "sub"),
    (Binary::Mul, "mul"),
    (Binary::Div, "div"),
    (Binary::Min, "min"),
    (Binary::Max, "max"),
    (Binary::Pow, "pow"),
    (Binary::Less, "less"),
    (Binary::LessEqual, "less_equal"),
    (Binary::Equal, "equal"),
];

fn name<T: PartialEq + Copy>(table: &[(T, &'static str)], op: T) -> &'static str {
    table.iter().find(|(o, _)| *o == op).map_or("?", |(_, name)| name)
}

fn by_name<T: Copy>(table: &[(T, &'static str)], word: &str) -> Option<T> {
    table.iter().find(|(_, name)| *name == word).map(|(op, _)| *op)
}

/// How long a printed expression may be before it is cut.
const PRINTED: usize = 72;

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, &output) in self.outputs.iter().enumerate() {
            let mut text = String::new();
            self.print(output, &mut text);
            let end = text.char_indices().nth(PRINTED).map_or(text.len(), |(at, _)| at);
            let dots = if end < text.len() { "..." } else { "" };
            write!(f, "{}{}{dots}", if i == 0 { "" } else { "; " }, &text[..end])?;
        }
        Ok(())
    }
}

impl Program {
    fn print(&self, node: usize, text: &mut String) {
        if text.len() > PRINTED {
            return;
        }
        let call = |name: &str, operands: &[usize], text: &mut String| {
            text.push_str(name);
            text.push('(');
            for (i, &operand) in operands.iter().enumerate() {
                text.push_str(if i == 0 { "" } else { ", " });
                self.print(operand, text);
            }
            text.push(')');
        };
        match self.nodes[node] {
            Node::Input(i) => text.push_str(&format!("x{i}")),
            Node::Constant(c) => text.push_str(&format!("{c}")),
            Node::Uniform(stream) => text.push_str(&format!("uniform#{stream}")),
            Node::Unary(op, a) => call(name(&UNARY, op), &[a], text),
            Node::Select(c, a, b) => call("select", &[c, a, b], text),
            Node::Binary(op, a, b) => {
                let sign = match op {
                    Binary::Add => " + ",
                    Binary::Sub => " - ",
                    Binary::Mul => " * ",
                    Binary::Div => " / ",
                    _ => return call(name(&BINARY, op), &[a, b], text),
                };
                text.push('(');
                self.print(a, text);
                text.push_str(sign);
                self.print(b, text);
                text.push(')');
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    inputs: usize,
    nodes: Vec<String>,
    outputs: Vec<usize>,
}

fn node_text(node: &Node) -> String {
    match *node {
        Node::Input(i) => format!("input {i}"),
        Node::Constant(c) => format!("constant {c:?}"),
        Node::Uniform(stream) => format!("uniform {stream}"),
        Node::Unary(op, a) => format!("{} {a}", name(&UNARY, op)),
        Node::Binary(op, a, b) => format!("{} {a} {b}", name(&BINARY, op)),
        Node::Select(c, a, b) => format!("select {c} {a} {b}"),
    }
}

fn parse_node(text: &str) -> Option<Node> {
    let mut words = text.split(' ');
    let word = words.next()?;
    if word == "constant" {
        let value = words.next()?.parse().ok()?;
        return words.next().is_none().then_some(Node::Constant(value));
    }
    let numbers: Vec<usize> = words.map(|w| w.parse().ok()).collect::<Option<_>>()?;
    match (word, numbers.as_slice()) {
        ("input", &[i]) => Some(Node::Input(i)),
        ("uniform", &[stream]) => Some(Node::Uniform(u32::try_from(stream).ok()?)),
        ("select", &[c, a, b]) => Some(Node::Select(c, a, b)),
        (word, &[a]) => Some(Node::Unary(by_name(&UNARY, word)?, a)),
        (word, &[a, b]) => Some(Node::Binary(by_name(&BINARY, word)?, a, b)),
        _ => None,
    }
}

impl Serialize for Program {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nodes = self.nodes.iter().map(node_text).collect();
        Stored { inputs: self.inputs, nodes, outputs: self.outputs.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Program {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        let mut nodes = Vec::with_capacity(stored.nodes.len());
        for (i, text) in stored.nodes.iter().enumerate() {
            let node = parse_node(text)
                .ok_or_else(|| D::Error::custom(format!("node {i} of an expression: `{text}`")))?;
            let known = match node {
                Node::Input(operand) => operand < stored.inputs,
                other => other.operands().all(|operand| operand < i),
            };
            if !known {
                return Err(D::Error::custom(format!(
                    "node {i} of an expression reads what is not there: `{text}`"
                )));
            }
            nodes.push(node);
        }
        if stored.outputs.is_empty() || stored.outputs.iter().any(|&o| o >= nodes.len()) {
            return Err(D::Error::custom("an expression's results are not among its nodes"));
        }
        Ok(Program { inputs: stored.inputs, nodes, outputs: stored.outputs })
    }
}
