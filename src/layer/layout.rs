//! Values moved about: transposed, joined, cut, looked up; and dropout.

use std::ops::Range;

use super::Value;
use crate::op::concatenate::Concatenate;
use crate::op::dropout::Dropout;
use crate::op::gather::Gather;
use crate::op::slice::Slice;
use crate::op::transpose::Transpose;

impl Value {
    /// In training, zeroes each element with this probability, in 0..=1, and divides the others by
    /// `1 − probability`; in evaluation, the value itself. Each call has its own random numbers.
    pub fn dropout(&self, probability: f64) -> Value {
        self.one(Dropout { probability, stream: self.new_stream() }, &[])
    }

    /// Rows of this table `[n, ..]` by `indices` (u32, any shape): the indices' shape, then that of
    /// a row. An index of n or more gives NaN.
    pub fn gather(&self, indices: &Value) -> Value {
        self.one(Gather, &[indices])
    }

    /// Axes in another order: dimension `i` of the result is dimension `axes[i]` of this value. The
    /// rows of the batch must stay first.
    pub fn transpose(&self, axes: &[usize]) -> Value {
        self.one(Transpose { axes: axes.to_vec() }, &[])
    }

    /// This value and others one after the other along an axis, which may not be that of the rows;
    /// all other sizes are equal.
    pub fn concatenate(&self, others: &[&Value], axis: usize) -> Value {
        self.one(Concatenate { axis }, others)
    }

    /// A range along an axis, which may not be that of the rows.
    pub fn slice(&self, axis: usize, range: Range<usize>) -> Value {
        self.one(Slice { axis, range }, &[])
    }
}
