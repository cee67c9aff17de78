//! Models: what the user writes, traced into a graph of op calls.

mod network;
mod store;
mod summary;

pub use network::{Network, WithLosses};
pub use summary::Summary;

use crate::error::{ModelError, Result};
use crate::layer::activation::Activation;
use crate::layer::value::{SharedTrace, lock};
use crate::layer::{Dense, Dropout, Embedding, Flatten, Layer, LayerNorm, RmsNorm, Value};
use crate::op::Role;
use crate::tensor::{DType, Shape, TensorType};

/// Sizes of one row of an input: a number of features, or a list of sizes.
pub trait RowShape {
    /// The sizes.
    fn sizes(&self) -> Vec<usize>;
}

impl RowShape for usize {
    fn sizes(&self) -> Vec<usize> {
        vec![*self]
    }
}

impl RowShape for &[usize] {
    fn sizes(&self) -> Vec<usize> {
        self.to_vec()
    }
}

impl<const N: usize> RowShape for &[usize; N] {
    fn sizes(&self) -> Vec<usize> {
        self.to_vec()
    }
}

/// A model under construction: a list of layers, or any graph of values.
///
/// A mistake is reported when the model is built, naming the layer.
///
/// ```
/// use ironwarp::prelude::*;
/// let model = Model::input(64).dense(128).relu().dense(10);
/// assert_eq!(model.parameter_count()?, 64 * 128 + 128 + 128 * 10 + 10);
/// let wrong = Model::input(&[4, 4]).layer(|x: &Value| x.matmul(&x.flatten()));
/// assert!(wrong.network().unwrap_err().to_string().starts_with("layer `layer_1`"));
/// # Ok::<(), ironwarp::Error>(())
/// ```
pub struct Model {
    trace: SharedTrace,
    current: Option<Value>,
    outputs: Vec<(String, Value)>,
}

impl Model {
    /// A model with one input named `input`, whose rows are floats of these sizes.
    pub fn input(row: impl RowShape) -> Model {
        Model::with_input(DType::F32, row)
    }

    /// A model with one input named `input`, whose rows are indices, for an embedding.
    pub fn indices(row: impl RowShape) -> Model {
        Model::with_input(DType::U32, row)
    }

    fn with_input(dtype: DType, row: impl RowShape) -> Model {
        let mut model = Model::empty();
        model.current = Some(model.add_input("input", dtype, row));
        model
    }

    fn empty() -> Model {
        Model { trace: SharedTrace::default(), current: None, outputs: vec![] }
    }

    fn add_input(&self, name: &str, dtype: DType, row: impl RowShape) -> Value {
        let mut trace = lock(&self.trace);
        if trace.graph.find(name).is_some() {
            trace.fail(ModelError::Name(format!("two inputs are named `{name}`")));
        }
        let ty = TensorType::new(dtype, Shape::rows(&row.sizes()));
        let id = trace.graph.add(name, ty, Role::Input);
        Value::new(self.trace.clone(), id)
    }

    /// A model with any number of inputs and outputs.
    ///
    /// ```
    /// use ironwarp::prelude::*;
    /// let model = Model::functional(|m| {
    ///     let (image, age) = (m.floats("image", &[28, 28]), m.floats("age", 1));
    ///     let seen = image.flatten().layer(Dense::new(32)).relu();
    ///     m.output("price", &(seen.layer(Dense::new(1)) + age.layer(Dense::new(1))));
    /// });
    /// assert_eq!(model.network()?.inputs().len(), 2);
    /// # Ok::<(), ironwarp::Error>(())
    /// ```
    pub fn functional(describe: impl FnOnce(&mut Functional)) -> Model {
        let mut functional = Functional { model: Model::empty() };
        describe(&mut functional);
        functional.model
    }

    /// Appends a layer, named by its stem and a number.
    pub fn layer(self, layer: impl Layer) -> Model {
        self.then(|x| x.layer(layer))
    }

    /// Appends a layer under this name.
    pub fn named(self, name: &str, layer: impl Layer) -> Model {
        self.then(|x| x.named(name, layer))
    }

    fn then(mut self, f: impl FnOnce(&Value) -> Value) -> Model {
        match &self.current {
            Some(value) => self.current = Some(f(value)),
            None => lock(&self.trace).fail(ModelError::Name(
                "a functional model takes its layers inside `functional`".into(),
            )),
        }
        self
    }

    /// Appends a [`Dense`] layer.
    pub fn dense(self, outputs: usize) -> Model {
        self.layer(Dense::new(outputs))
    }

    /// Appends a [`Dropout`] layer.
    pub fn dropout(self, probability: f64) -> Model {
        self.layer(Dropout::new(probability))
    }

    /// Appends a [`LayerNorm`] over the last dimension.
    pub fn layer_norm(self) -> Model {
        self.layer(LayerNorm::new())
    }

    /// Appends an [`RmsNorm`] over the last dimension.
    pub fn rms_norm(self) -> Model {
        self.layer(RmsNorm::new())
    }

    /// Appends an [`Embedding`] of `count` rows of `width` numbers; the input must be indices.
    pub fn embedding(self, count: usize, width: usize) -> Model {
        self.layer(Embedding::new(count, width))
    }

    /// Joins all dimensions of a row into one.
    pub fn flatten(self) -> Model {
        self.layer(Flatten)
    }

    /// The graph, its names and its layers; the first mistake, if there was one.
    pub fn network(&self) -> Result<Network> {
        let outputs: Vec<_> = match &self.current {
            Some(value) => vec![("output".to_string(), value.id())],
            None => self.outputs.iter().map(|(name, value)| (name.clone(), value.id())).collect(),
        };
        Network::from_trace(&lock(&self.trace), outputs)
    }

    /// Number of parameters, frozen ones included.
    pub fn parameter_count(&self) -> Result<usize> {
        Ok(self.network()?.parameter_count())
    }
}

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident $variant:ident;)*) => {
        impl Model {
            $($(#[$doc])* pub fn $name(self) -> Model { self.layer(Activation::$variant) })*
        }
    };
}

activations! {
    /// Appends `max(x, 0)`.
    relu Relu;
    /// Appends the Gaussian error linear unit, with the error function.
    gelu Gelu;
    /// Appends `x · sigmoid(x)`.
    silu Silu;
    /// Appends the logistic function.
    sigmoid Sigmoid;
    /// Appends the hyperbolic tangent.
    tanh Tanh;
}

/// What [`Model::functional`] gives to its closure.
pub struct Functional {
    model: Model,
}

impl Functional {
    /// An input whose rows are floats of these sizes.
    pub fn floats(&mut self, name: &str, row: impl RowShape) -> Value {
        self.model.add_input(name, DType::F32, row)
    }

    /// An input whose rows are indices.
    pub fn indices(&mut self, name: &str, row: impl RowShape) -> Value {
        self.model.add_input(name, DType::U32, row)
    }

    /// Makes a value an output of the model.
    pub fn output(&mut self, name: &str, value: &Value) {
        self.model.outputs.push((name.to_string(), value.clone()));
    }
}

impl std::fmt::Display for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.network() {
            Ok(network) => write!(f, "{}", network.summary()),
            Err(error) => write!(f, "{error}"),
        }
    }
}
