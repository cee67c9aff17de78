//! Rectangles of a row-major matrix that different threads may write at the same time.

#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable view of a rectangle of `f32`: rows of contiguous elements, a fixed stride apart.
///
/// It owns the right to write its elements as `&mut [f32]` does, but the gaps between its rows
/// belong to others, so that a matrix can be split by columns too. All methods are bounds-checked.
#[derive(Debug)]
pub struct TileMut<'a> {
    start: *mut f32,
    rows: usize,
    columns: usize,
    stride: usize,
    elements: PhantomData<&'a mut [f32]>,
}

// SAFETY: a tile is an exclusive borrow of its elements, as `&mut [f32]`, which is `Send`.
unsafe impl Send for TileMut<'_> {}
// SAFETY: through `&TileMut` elements can only be read, as through `&&mut [f32]`, which is `Sync`.
unsafe impl Sync for TileMut<'_> {}

impl<'a> TileMut<'a> {
    /// Views `elements` as `rows` rows of `columns`, each `stride` elements after the one before.
    ///
    /// # Panics
    /// If rows overlap (`stride < columns`) or the last row ends past `elements`.
    pub fn new(elements: &'a mut [f32], rows: usize, columns: usize, stride: usize) -> Self {
        let end = if rows == 0 { Some(0) } else { end_of(rows, columns, stride) };
        assert!(
            stride >= columns && end.is_some_and(|end| end <= elements.len()),
            "a tile of {rows} rows of {columns}, stride {stride}, needs more than the {} elements given",
            elements.len()
        );
        // SAFETY: the elements of all rows lie in `elements`, which is borrowed mutably for 'a.
        unsafe { Self::from_raw(elements.as_mut_ptr(), rows, columns, stride) }
    }

    /// A tile of no elements.
    pub fn empty() -> Self {
        TileMut::new(&mut [], 0, 0, 0)
    }

    /// A tile from its first element: for an executor that hands disjoint tiles to its threads.
    ///
    /// # Safety
    /// For all of `'a`: every row is valid for reads and writes and lies in the same allocation as
    /// `start`, and nothing but this tile touches the elements of its rows. `stride >= columns`.
    pub unsafe fn from_raw(start: *mut f32, rows: usize, columns: usize, stride: usize) -> Self {
        TileMut { start, rows, columns, stride, elements: PhantomData }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Elements of a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Elements from the start of a row to the start of the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The first element. It and the other elements of the rows may be read and written through
    /// this pointer while the tile is borrowed.
    pub fn as_mut_ptr(&mut self) -> *mut f32 {
        self.start
    }

    /// The elements of one row.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: usize) -> &[f32] {
        assert!(row < self.rows, "row {row} of a tile of {} rows", self.rows);
        // SAFETY: the row is one of the tile's, which nobody writes while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.start.add(row * self.stride), self.columns) }
    }

    /// The elements of one row, to be written.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row_mut(&mut self, row: usize) -> &mut [f32] {
        assert!(row < self.rows, "row {row} of a tile of {} rows", self.rows);
        // SAFETY: the row is one of the tile's, which only this tile touches; `self` is borrowed
        // mutably while the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.stride), self.columns) }
    }

    /// The same tile for a shorter time.
    pub fn reborrow(&mut self) -> TileMut<'_> {
        TileMut { elements: PhantomData, ..*self }
    }

    /// The same elements as a single row, if there are no gaps between the rows.
    pub fn in_one_row(self) -> TileMut<'a> {
        if self.rows == 0 || self.stride != self.columns {
            return self;
        }
        let columns = self.rows * self.columns;
        TileMut { rows: 1, columns, stride: columns, ..self }
    }

    /// A part of the tile.
    ///
    /// # Panics
    /// If a range runs backwards or past the tile.
    pub fn part(&mut self, rows: Range<usize>, columns: Range<usize>) -> TileMut<'_> {
        let (_, tile) = self.reborrow().split_rows(rows.start);
        let (tile, _) = tile.split_rows(rows.end - rows.start);
        let (_, tile) = tile.split_columns(columns.start);
        tile.split_columns(columns.end - columns.start).0
    }

    /// The rows before `row`, and the others.
    ///
    /// # Panics
    /// If `row` is past the end.
    pub fn split_rows(self, row: usize) -> (TileMut<'a>, TileMut<'a>) {
        assert!(row <= self.rows, "split at row {row} of {}", self.rows);
        // `wrapping_add`: when no rows remain, the pointer is never used and may lie past the end.
        let start = self.start.wrapping_add(row * self.stride);
        let rest = self.rows - row;
        (TileMut { rows: row, ..self }, TileMut { start, rows: rest, ..self })
    }

    /// The columns before `column`, and the others.
    ///
    /// # Panics
    /// If `column` is past the end.
    pub fn split_columns(self, column: usize) -> (TileMut<'a>, TileMut<'a>) {
        assert!(column <= self.columns, "split at column {column} of {}", self.columns);
        let start = self.start.wrapping_add(column);
        let rest = self.columns - column;
        (TileMut { columns: column, ..self }, TileMut { start, columns: rest, ..self })
    }
}

/// One past the last element of the last row, or `None` on overflow; there is at least one row.
fn end_of(rows: usize, columns: usize, stride: usize) -> Option<usize> {
    (rows - 1).checked_mul(stride)?.checked_add(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_quarters_cover_the_matrix_and_nothing_else() {
        let mut elements = [0.0; 3 * 7];
        let tile = TileMut::new(&mut elements, 3, 5, 7);
        let (top, bottom) = tile.split_rows(1);
        let (a, b) = top.split_columns(2);
        let (c, d) = bottom.split_columns(4);
        std::thread::scope(|scope| {
            for (value, mut tile) in [(1.0, a), (2.0, b), (3.0, c), (4.0, d)] {
                scope.spawn(move || {
                    (0..tile.rows()).for_each(|row| tile.row_mut(row).fill(value));
                });
            }
        });
        let expected = [
            [1., 1., 2., 2., 2., 0., 0.],
            [3., 3., 3., 3., 4., 0., 0.],
            [3., 3., 3., 3., 4., 0., 0.],
        ];
        assert_eq!(elements, expected.as_flattened());
    }

    #[test]
    fn a_part_keeps_the_stride() {
        let mut elements: Vec<f32> = (0..20u8).map(f32::from).collect();
        let mut tile = TileMut::new(&mut elements, 4, 5, 5);
        let mut part = tile.part(1..3, 2..4);
        assert_eq!((part.rows(), part.columns(), part.stride()), (2, 2, 5));
        assert_eq!(part.row(1), [12., 13.]);
        part.row_mut(0)[1] = -1.0;
        assert_eq!(tile.row(1), [5., 6., 7., -1., 9.]);
    }

    #[test]
    fn empty_tiles_need_no_elements() {
        assert_eq!(TileMut::new(&mut [], 0, 5, 5).rows(), 0);
        let mut elements = [1.0; 5];
        let (full, empty) = TileMut::new(&mut elements, 1, 5, 5).split_rows(1);
        assert_eq!((full.row(0).len(), empty.rows()), (5, 0));
    }

    #[test]
    #[should_panic(expected = "needs more than the 19 elements")]
    fn too_few_elements_are_refused() {
        TileMut::new(&mut [0.0; 19], 4, 5, 5);
    }

    #[test]
    #[should_panic(expected = "needs more than")]
    fn overflowing_sizes_are_refused() {
        TileMut::new(&mut [0.0; 19], usize::MAX, 5, usize::MAX / 2);
    }

    #[test]
    #[should_panic(expected = "row 4 of a tile of 4 rows")]
    fn a_row_past_the_end_is_refused() {
        TileMut::new(&mut [0.0; 20], 4, 5, 5).row(4);
    }
}
