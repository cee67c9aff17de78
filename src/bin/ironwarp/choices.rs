//! What settings choose among.

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
}

/// An activation by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Activation {
    Relu,
    Gelu,
    Silu,
    Tanh,
    Sigmoid,
}

/// An optimizer by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Optimizer {
    Adam,
    AdamW,
    /// With momentum 0.9
    Sgd,
}

impl Activation {
    /// The layer.
    pub(crate) fn layer(self) -> Function {
        match self {
            Activation::Relu => Function::Relu,
            Activation::Gelu => Function::Gelu,
            Activation::Silu => Function::Silu,
            Activation::Tanh => Function::Tanh,
            Activation::Sigmoid => Function::Sigmoid,
        }
    }
}
