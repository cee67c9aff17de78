//! Values: what layers are functions of.
//!
//! A [`Value`] is a handle to one result in a model that is being traced. Its operators and methods
//! append op calls; a wrong shape is remembered and reported when the model is built, naming the
//! layer, so that code with values needs no `?`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::ModelError;
use crate::init::Init;
use crate::op::expression::{Expr, Unary};
use crate::op::matmul::Matmul;
use crate::op::pointwise::Pointwise;
use crate::op::reduce::{Reduce, Reduction};
use crate::op::reshape::Reshape;
use crate::op::{BufferId, Graph, Op, Role};
use crate::tensor::{DType, Dim, Shape, TensorType};

/// What the tracer knows of a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Name, such as `encoder.0.weight`.
    pub name: String,
    /// Its buffer in the graph.
    pub buffer: BufferId,
    /// How it begins.
    pub init: Init,
}

/// One line of a model's summary.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerRecord {
    /// Path, such as `encoder.dense_1`.
    pub path: String,
    /// What it is, such as `Dense 64 -> 128`.
    pub kind: String,
    /// Type of its output.
    pub output: TensorType,
    /// Steps of the graph that belong to it.
    pub steps: std::ops::Range<usize>,
    /// Depth in the tree of layers: 0 for a layer of the model.
    pub depth: usize,
}

/// A model being traced.
#[derive(Debug, Default)]
pub struct Trace {
    /// Calls so far.
    pub graph: Graph,
    /// Parameters in the order of their making.
    pub parameters: Vec<Parameter>,
    /// Layers in the order of their calls.
    pub layers: Vec<LayerRecord>,
    /// Scalar penalties, with their factors.
    pub penalties: Vec<(BufferId, f64)>,
    /// The first thing that went wrong.
    pub error: Option<ModelError>,
    path: Vec<String>,
    next_stream: u32,
}

/// Elements of the largest parameter: a petabyte.
const MAX_ELEMENTS: usize = 1 << 48;

/// A trace that values share.
pub type SharedTrace = Arc<Mutex<Trace>>;

pub(crate) fn lock(trace: &SharedTrace) -> MutexGuard<'_, Trace> {
    trace.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Trace {
    /// A trace that goes on from a graph.
    pub fn of(graph: Graph) -> Trace {
        Trace { graph, ..Trace::default() }
    }

    /// Path of the layer being traced.
    pub fn layer(&self) -> String {
        if self.path.is_empty() { "model".into() } else { self.path.join(".") }
    }

    /// Remembers the first error.
    pub fn fail(&mut self, error: ModelError) {
        self.error.get_or_insert(error);
    }

    /// A name for a layer of this kind that is still free here: `dense_1`, `dense_2`, ...
    fn free_name(&self, kind: &str) -> String {
        let prefix = match self.path.is_empty() {
            true => String::new(),
            false => format!("{}.", self.path.join(".")),
        };
        (1..)
            .map(|n| format!("{kind}_{n}"))
            .find(|name| {
                let path = format!("{prefix}{name}");
                !self.layers.iter().any(|l| l.path == path)
            })
            .unwrap_or_default()
    }
}

/// One result in a model that is being traced. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Value {
    trace: SharedTrace,
    id: BufferId,
}

impl Value {
    /// The value of a buffer of a trace.
    pub fn new(trace: SharedTrace, id: BufferId) -> Value {
        Value { trace, id }
    }

    /// Its buffer in the traced graph.
    pub fn id(&self) -> BufferId {
        self.id
    }

    /// The trace it belongs to.
    pub fn trace(&self) -> &SharedTrace {
        &self.trace
    }

    /// Type and shape; the number of rows is open.
    pub fn ty(&self) -> TensorType {
        lock(&self.trace).graph.ty(self.id).clone()
    }

    /// Shape.
    pub fn shape(&self) -> Shape {
        self.ty().shape
    }

    /// Size of the last dimension; 1 if there is none.
    pub fn last(&self) -> usize {
        self.shape().last().unwrap_or(1)
    }

    /// Appends a call of an op to these operands, this value being the first.
    pub fn call(&self, op: impl Op, others: &[&Value]) -> Vec<Value> {
        let mut trace = lock(&self.trace);
        let outputs = op.outputs(&[]).map_or(1, |types| types.len());
        let same = others.iter().all(|v| Arc::ptr_eq(&v.trace, &self.trace));
        let layer = trace.layer();
        let ids: Vec<_> = std::iter::once(self.id).chain(others.iter().map(|v| v.id)).collect();
        let name = op.name().to_string();
        let result = match same {
            true => trace.graph.call(Arc::new(op), &ids, &layer),
            false => Err(crate::op::OpError("operands belong to different models".into())),
        };
        match result {
            Ok(ids) => ids.into_iter().map(|id| self.at(id)).collect(),
            Err(error) => {
                let message = error.to_string();
                trace.fail(ModelError::Shape { layer, op: name, message });
                vec![self.clone(); outputs.max(2)]
            }
        }
    }

    /// Appends a call of an op with one output.
    pub fn one(&self, op: impl Op, others: &[&Value]) -> Value {
        self.call(op, others).swap_remove(0)
    }

    fn at(&self, id: BufferId) -> Value {
        Value { trace: self.trace.clone(), id }
    }

    /// Reports that the layer being traced can't be built.
    pub fn fail(&self, message: impl Into<String>) -> Value {
        let mut trace = lock(&self.trace);
        let layer = trace.layer();
        trace.fail(ModelError::Layer { layer, message: message.into() });
        self.clone()
    }

    /// A new parameter of the layer being traced, named after it.
    pub fn parameter(&self, name: &str, shape: &[usize], init: Init) -> Value {
        let mut trace = lock(&self.trace);
        let name = format!("{}.{name}", trace.layer());
        if trace.graph.find(&name).is_some() {
            let message = format!("two parameters are named `{name}`");
            trace.fail(ModelError::Name(message));
        }
        let ty = TensorType::f32(Shape::fixed(shape));
        if ty.shape.checked_elements(0).is_none_or(|n| n > MAX_ELEMENTS) {
            let message = format!("no memory holds its parameter `{name}` {}", ty.shape);
            let layer = trace.layer();
            trace.fail(ModelError::Layer { layer, message });
        }
        let buffer = trace.graph.add(&name, ty, Role::Parameter);
        trace.parameters.push(Parameter { name, buffer, init });
        self.at(buffer)
    }

    /// A parameter made before, by its full name: tied weights.
    pub fn tied(&self, name: &str) -> Value {
        let mut trace = lock(&self.trace);
        let found = trace.parameters.iter().find(|p| p.name == name).map(|p| p.buffer);
        match found {
            Some(id) => self.at(id),
            None => {
                trace.fail(ModelError::Name(format!("no parameter is named `{name}`")));
                self.clone()
            }
        }
    }

    /// Traces `f` as a layer inside the one being traced. `name` is made unique by a number if it
    /// is `None`; `kind` is what the summary says.
    pub fn scope(
        &self,
        name: Option<&str>,
        kind: (&str, String),
        f: impl FnOnce(&Value) -> Value,
    ) -> Value {
        let (index, first) = {
            let mut trace = lock(&self.trace);
            let name = name.map_or_else(|| trace.free_name(kind.0), str::to_string);
            let depth = trace.path.len();
            trace.path.push(name);
            let path = trace.path.join(".");
            if trace.layers.iter().any(|l| l.path == path) {
                trace.fail(ModelError::Name(format!("two layers are named `{path}`")));
            }
            let output = trace.graph.ty(self.id).clone();
            let first = trace.graph.steps.len();
            let kind = kind.1;
            trace.layers.push(LayerRecord { path, kind, output, steps: first..first, depth });
            (trace.layers.len() - 1, first)
        };
        let result = f(self);
        let mut trace = lock(&self.trace);
        trace.path.pop();
        let (end, output) = (trace.graph.steps.len(), trace.graph.ty(result.id).clone());
        trace.layers[index].steps = first..end;
        trace.layers[index].output = output;
        result
    }

    /// A new stream of random numbers.
    pub fn new_stream(&self) -> u32 {
        let mut trace = lock(&self.trace);
        trace.next_stream += 1;
        trace.next_stream
    }

    /// Adds `factor` times this single-element value to the loss.
    pub fn penalty(&self, factor: f64) {
        let single = self.reshape(Shape::fixed(&[1]));
        lock(&self.trace).penalties.push((single.id, factor));
    }

    /// Applies a scalar expression to every element.
    ///
    /// ```
    /// use ironwarp::layer::Value;
    /// fn swish(x: &Value) -> Value {
    ///     x.map(|x| x.clone() * x.sigmoid())
    /// }
    /// ```
    pub fn map(&self, f: impl FnOnce(&Expr) -> Expr) -> Value {
        self.one(Pointwise::new(1, &f(&Expr::input(0))), &[])
    }

    /// Applies a scalar expression to every pair of elements, shapes broadcasting.
    pub fn map2(&self, other: &Value, f: impl FnOnce(&Expr, &Expr) -> Expr) -> Value {
        let expr = f(&Expr::input(0), &Expr::input(1));
        self.one(Pointwise::new(2, &expr), &[other])
    }

    /// Applies an expression whose derivative is given: a function of input, output and upstream
    /// gradient. Where the derivative is simpler in the output, this saves reading the input.
    pub fn map_with_gradient(
        &self,
        f: impl FnOnce(&Expr) -> Expr,
        gradient: impl FnOnce(&Expr, &Expr, &Expr) -> Expr,
    ) -> Value {
        let derivative = gradient(&Expr::input(0), &Expr::input(1), &Expr::input(2));
        let op = Pointwise::new(1, &f(&Expr::input(0))).with_gradient(&[derivative]);
        self.one(op, &[])
    }

    /// Matrix product over the last two dimensions.
    pub fn matmul(&self, other: &Value) -> Value {
        self.one(Matmul::nn(), &[other])
    }

    /// Matrix product with the transpose of `other`, as a dense layer's weight `[out, in]` needs.
    pub fn matmul_transposed(&self, other: &Value) -> Value {
        self.one(Matmul::nt(), &[other])
    }

    /// Sum over axes; with `keep` they stay as 1.
    pub fn sum(&self, axes: &[usize], keep: bool) -> Value {
        self.one(Reduce::new(Reduction::Sum, axes, keep), &[])
    }

    /// Mean over axes; with `keep` they stay as 1.
    pub fn mean(&self, axes: &[usize], keep: bool) -> Value {
        self.one(Reduce::new(Reduction::Mean, axes, keep), &[])
    }

    /// Maximum over axes; with `keep` they stay as 1.
    pub fn max(&self, axes: &[usize], keep: bool) -> Value {
        self.one(Reduce::new(Reduction::Max, axes, keep), &[])
    }

    /// Mean over all dimensions but the rows: shape `[B]`, what a loss must be.
    pub fn mean_per_row(&self) -> Value {
        let axes: Vec<_> = (1..self.shape().rank()).collect();
        if axes.is_empty() { self.clone() } else { self.mean(&axes, false) }
    }

    /// The same elements under another shape.
    pub fn reshape(&self, shape: Shape) -> Value {
        if shape == self.shape() {
            return self.clone();
        }
        self.one(Reshape { shape }, &[])
    }

    /// All dimensions but the rows as one.
    pub fn flatten(&self) -> Value {
        let shape = self.shape();
        let size = shape.dims().iter().skip(1).map(|d| d.size(1)).product();
        self.reshape(Shape(vec![
            shape.dims().first().copied().unwrap_or(Dim::Fixed(1)),
            Dim::Fixed(size),
        ]))
    }

    /// Whether the elements are integers.
    pub fn is_integer(&self) -> bool {
        matches!(self.ty().dtype, DType::U32 | DType::U8)
    }

    /// Square root of every element.
    pub fn sqrt(&self) -> Value {
        self.map(|x| x.unary(Unary::Sqrt))
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident;)*) => {$(
        impl std::ops::$trait<&Value> for &Value {
            type Output = Value;
            fn $method(self, other: &Value) -> Value {
                self.map2(other, |x, y| std::ops::$trait::$method(x, y))
            }
        }
        impl std::ops::$trait<Value> for Value {
            type Output = Value;
            fn $method(self, other: Value) -> Value { std::ops::$trait::$method(&self, &other) }
        }
        impl std::ops::$trait<&Value> for Value {
            type Output = Value;
            fn $method(self, other: &Value) -> Value { std::ops::$trait::$method(&self, other) }
        }
        impl std::ops::$trait<f64> for &Value {
            type Output = Value;
            fn $method(self, other: f64) -> Value {
                self.map(|x| std::ops::$trait::$method(x, other))
            }
        }
        impl std::ops::$trait<f64> for Value {
            type Output = Value;
            fn $method(self, other: f64) -> Value { std::ops::$trait::$method(&self, other) }
        }
    )*};
}

operators! { Add add; Sub sub; Mul mul; Div div; }
