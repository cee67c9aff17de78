//! Which rows of the data some steps of an epoch take.

use std::ops::Range;

use crate::random::Permutation;

/// The rows at some places of an epoch.
pub(super) struct Rows {
    /// The epoch's order, if it is not the data's own.
    order: Option<Permutation>,
    places: Range<usize>,
}

impl Rows {
    pub(super) fn new(order: Option<Permutation>, places: Range<usize>) -> Rows {
        Rows { order, places }
    }

    pub(super) fn places(&self) -> Range<usize> {
        self.places.clone()
    }

    /// One by one, for who may not need them.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = usize> {
        let order = self.order.as_ref();
        self.places.clone().map(move |i| order.map_or(i, |order| order.get(i as u64) as usize))
    }

    /// All of them, in place of what `rows` held.
    pub(super) fn write(&self, rows: &mut Vec<usize>) {
        rows.clear();
        rows.extend(self.places.clone());
        if let Some(order) = &self.order {
            order.fill(self.places.start as u64, rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_tell_the_same_rows() {
        let order = Permutation::new(1, 2, 3, 700);
        for order in [None, Some(order)] {
            let rows = Rows::new(order, 13..613);
            let mut written = vec![7];
            rows.write(&mut written);
            assert_eq!(rows.iter().collect::<Vec<_>>(), written);
            assert_eq!((rows.iter().len(), rows.places()), (600, 13..613));
        }
    }
}
