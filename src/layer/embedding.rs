//! The embedding layer.

use super::{Layer, Value};
use crate::init::Init;

/// A trained vector for each of `count` indices: `[..]` of u32 to `[.., width]`.
///
/// Parameter: `weight` `[count, width]`, which begins as PyTorch's `nn.Embedding`: normal with mean
/// 0 and deviation 1. An index of `count` or more gives NaN, and no gradient.
#[derive(Clone, Debug)]
pub struct Embedding {
    count: usize,
    width: usize,
    init: Init,
}

impl Embedding {
    /// A layer for indices in `0..count`, with vectors of `width` numbers.
    pub fn new(count: usize, width: usize) -> Self {
        Embedding { count, width, init: Init::Normal { mean: 0.0, standard_deviation: 1.0 } }
    }

    /// The same with other initial vectors.
    pub fn init(self, init: Init) -> Self {
        Embedding { init, ..self }
    }
}

impl Layer for Embedding {
    fn stem(&self) -> &str {
        "embedding"
    }

    fn describe(&self, _input: &Value) -> String {
        format!("Embedding {} x {}", self.count, self.width)
    }

    fn forward(&self, input: &Value) -> Value {
        if self.count == 0 || self.width == 0 {
            return input.fail(format!(
                "an embedding needs at least one index and one number each, got {} x {}",
                self.count, self.width
            ));
        }
        input.parameter("weight", &[self.count, self.width], self.init).gather(input)
    }
}
