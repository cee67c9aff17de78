//! Datasets from arrays, slices and vectors.

use ndarray::{ArrayBase, Data, Dimension};

use super::column::{Column, Values};
use super::dataset::Dataset;
use crate::error::DataError;

impl Dataset {
    /// A dataset of one input, `x`, and one target, `y`, whose first axes are the rows.
    ///
    /// Floats are numbers, integers are indices (class labels from 0, or token numbers), texts
    /// are classes, numbered in the order of their sorted names. See [`IntoColumn`].
    ///
    /// ```
    /// use ironwarp::data::Dataset;
    /// use ndarray::array;
    ///
    /// let x = array![[5.1, 3.5], [6.2, 2.9], [5.9, 3.0]];
    /// let data = Dataset::from_arrays(&x, ["setosa", "virginica", "virginica"])?;
    /// assert_eq!(data.class_names(), ["setosa", "virginica"]);
    /// # Ok::<(), ironwarp::error::DataError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Dataset::new`], and if an array has no axis or an integer is not in the range of
    /// `u32` (the row is named).
    pub fn from_arrays(x: impl IntoColumn, y: impl IntoColumn) -> Result<Dataset, DataError> {
        Dataset::new(vec![x.into_column("x")?], vec![y.into_column("y")?])
    }
}

/// What can become a [`Column`]: arrays of any rank and layout, vectors and slices. The first
/// axis counts the rows.
pub trait IntoColumn {
    /// The column of this name.
    ///
    /// # Errors
    /// If there is no axis, or an integer is not in the range of `u32`.
    fn into_column(self, name: &str) -> Result<Column, DataError>;
}

/// What arrays may be made of: floats, integers, texts.
pub trait Element: Clone {
    /// The elements as the dataset stores them and, for texts, the sorted names. `Err` is the
    /// place of an element that is out of range, and its text.
    #[doc(hidden)]
    fn store(
        elements: impl Iterator<Item = Self>,
    ) -> Result<(Values, Vec<String>), (usize, String)>;
}

macro_rules! float_elements {
    ($($float:ty),*) => {$(
        impl Element for $float {
            fn store(
                elements: impl Iterator<Item = Self>,
            ) -> Result<(Values, Vec<String>), (usize, String)> {
                Ok((Values::F32(elements.map(|x| x as f32).collect()), Vec::new()))
            }
        }
    )*};
}
float_elements!(f32, f64);

macro_rules! integer_elements {
    ($($integer:ty),*) => {$(
        impl Element for $integer {
            fn store(
                elements: impl Iterator<Item = Self>,
            ) -> Result<(Values, Vec<String>), (usize, String)> {
                let indices: Result<_, _> = elements
                    .enumerate()
                    .map(|(i, n)| u32::try_from(n).map_err(|_| (i, n.to_string())))
                    .collect();
                Ok((Values::U32(indices?), Vec::new()))
            }
        }
    )*};
}
integer_elements!(u8, u16, u32, u64, usize, i8, i16, i32, i64);

macro_rules! text_elements {
    ($($text:ty),*) => {$(
        impl Element for $text {
            fn store(
                elements: impl Iterator<Item = Self>,
            ) -> Result<(Values, Vec<String>), (usize, String)> {
                let texts: Vec<String> = elements.map(String::from).collect();
                let mut names = texts.clone();
                names.sort_unstable();
                names.dedup();
                let index = |text| {
                    names.binary_search(text).expect("invariant: every text is a name") as u32
                };
                Ok((Values::U32(texts.iter().map(index).collect()), names))
            }
        }
    )*};
}
text_elements!(&str, String);

fn column<A: Element>(
    name: &str,
    shape: &[usize],
    elements: impl Iterator<Item = A>,
) -> Result<Column, DataError> {
    let Some((_, row_shape)) = shape.split_first() else {
        return Err(DataError::Invalid(format!(
            "column `{name}`: an array without axes has no rows"
        )));
    };
    match A::store(elements) {
        Ok((values, names)) => Ok(Column::new(name.into(), row_shape.to_vec(), values, names)),
        Err((index, text)) => Err(DataError::Invalid(format!(
            "column `{name}`, row {}: {text} is not an index from 0 to {}",
            index / row_shape.iter().product::<usize>(),
            u32::MAX
        ))),
    }
}

impl<A: Element, S: Data<Elem = A>, D: Dimension> IntoColumn for &ArrayBase<S, D> {
    fn into_column(self, name: &str) -> Result<Column, DataError> {
        column(name, self.shape(), self.iter().cloned())
    }
}

impl<A: Element, S: Data<Elem = A>, D: Dimension> IntoColumn for ArrayBase<S, D> {
    fn into_column(self, name: &str) -> Result<Column, DataError> {
        (&self).into_column(name)
    }
}

impl<A: Element> IntoColumn for &[A] {
    fn into_column(self, name: &str) -> Result<Column, DataError> {
        column(name, &[self.len()], self.iter().cloned())
    }
}

impl<A: Element> IntoColumn for Vec<A> {
    fn into_column(self, name: &str) -> Result<Column, DataError> {
        column(name, &[self.len()], self.into_iter())
    }
}

impl<A: Element> IntoColumn for &Vec<A> {
    fn into_column(self, name: &str) -> Result<Column, DataError> {
        self.as_slice().into_column(name)
    }
}

impl<A: Element, const N: usize> IntoColumn for [A; N] {
    fn into_column(self, name: &str) -> Result<Column, DataError> {
        column(name, &[N], self.into_iter())
    }
}
