//! What settings of `ironwarp train` choose from.

use clap::ValueEnum;
use ironwarp::layer::activation::Activation as Function;
use serde::{Deserialize, Serialize};

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// One of several classes
    Classification,
    /// A number
    Regression,
}

/// What becomes of missing cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Missing {
    /// The median of the training rows, or their most frequent word
    Median,
    /// The mean of the training rows, or their most frequent word
    Mean,
    /// The most frequent number or word of the training rows
    MostFrequent,
    /// The mean of the nearest training rows, by all numbers once they are scaled; of words the most
    /// frequent one
    Neighbours,
    /// The row is left out
    Drop,
}

/// What becomes of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scale {
    /// Mean 0 and deviation 1
    Standard,
    /// From 0 to 1
    MinMax,
    /// Median 0, and quartiles 1 apart
    Robust,
    /// By rank, evenly from 0 to 1
    Uniform,
    /// By rank, as standard normal numbers
    Normal,
    /// As they are
    None,
}

/// What becomes of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Encoding {
    /// A feature for each word
    OneHot,
    /// The word's place in the sorted list
    Ordinal,
    /// The mean of the target in rows of the word; of training rows, in other rows of it
    Target,
}

/// An activation by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Activation {
    Relu,
    /// With slope 0.01 below 0
    LeakyRelu,
    Elu,
    Selu,
    Gelu,
    /// By a hyperbolic tangent
    GeluTanh,
    Silu,
    Mish,
    HardSwish,
    Softplus,
    Tanh,
    Sigmoid,
}

/// An optimizer by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Optimizer {
    Adam,
    AdamW,
    AmsGrad,
    NAdam,
    RAdam,
    Sgd,
    RmsProp,
    Adagrad,
    Adadelta,
    Lion,
}

/// How the learning rate changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Schedule {
    /// Halved when the validation loss stands still for a third of the patience
    Plateau,
    /// It does not
    Constant,
    /// Down to 0 over all epochs, in a line
    Linear,
    /// Down to 0 over all epochs, along half a cosine
    Cosine,
    /// Up from a 25th in three tenths of all epochs, then down to about 0
    OneCycle,
}

/// A loss by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Loss {
    /// Of classes
    CrossEntropy,
    MeanSquaredError,
    MeanAbsoluteError,
    /// Squared up to 1, in the target's deviations, then linear
    Huber,
    LogCosh,
}

impl Activation {
    /// The layer.
    pub(crate) fn layer(self) -> Function {
        match self {
            Activation::Relu => Function::Relu,
            Activation::LeakyRelu => Function::LeakyRelu(0.01),
            Activation::Elu => Function::Elu(1.0),
            Activation::Selu => Function::Selu,
            Activation::Gelu => Function::Gelu,
            Activation::GeluTanh => Function::GeluTanh,
            Activation::Silu => Function::Silu,
            Activation::Mish => Function::Mish,
            Activation::HardSwish => Function::HardSwish,
            Activation::Softplus => Function::Softplus,
            Activation::Tanh => Function::Tanh,
            Activation::Sigmoid => Function::Sigmoid,
        }
    }
}
