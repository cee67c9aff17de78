//! Byte-pair encoding of one piece of text (Sennrich et al. 2016).

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// What two tokens next to each other become: the pair's rank, the lowest first, and the token.
pub(super) type Merges = HashMap<(u32, u32), (u32, u32)>;

/// No symbol.
const NONE: usize = usize::MAX;

/// Tokens of a piece, as a list that shrinks.
struct Symbols {
    tokens: Vec<u32>,
    before: Vec<usize>,
    after: Vec<usize>,
    /// Pairs that can be merged, by rank, then by place; some are gone by now.
    queue: BinaryHeap<Reverse<(u32, usize, u32)>>,
}

impl Symbols {
    /// Enters the pair that begins at a place, if it merges.
    fn enter(&mut self, merges: &Merges, at: usize) {
        if let Some((rank, token)) = self.merged(merges, at) {
            self.queue.push(Reverse((rank, at, token)));
        }
    }

    fn merged(&self, merges: &Merges, at: usize) -> Option<(u32, u32)> {
        let next = *self.after.get(at).filter(|next| **next != NONE)?;
        merges.get(&(self.tokens[at], self.tokens[next])).copied()
    }
}

/// Merges the pair of the lowest rank, of equal ones the leftmost, again and again.
pub(super) fn merge(tokens: Vec<u32>, merges: &Merges) -> Vec<u32> {
    let count = tokens.len();
    let before = (0..count).map(|at| at.checked_sub(1).unwrap_or(NONE)).collect();
    let after = (1..=count).map(|next| if next < count { next } else { NONE }).collect();
    let mut symbols = Symbols { tokens, before, after, queue: BinaryHeap::new() };
    (0..count).for_each(|at| symbols.enter(merges, at));
    let mut gone = vec![false; count];
    while let Some(Reverse((rank, at, token))) = symbols.queue.pop() {
        // The pair may be part of another token by now.
        if gone[at] || symbols.merged(merges, at) != Some((rank, token)) {
            continue;
        }
        let next = symbols.after[at];
        let beyond = symbols.after[next];
        gone[next] = true;
        (symbols.tokens[at], symbols.after[at]) = (token, beyond);
        if beyond != NONE {
            symbols.before[beyond] = at;
        }
        symbols.enter(merges, at);
        if symbols.before[at] != NONE {
            symbols.enter(merges, symbols.before[at]);
        }
    }
    let kept = symbols.tokens.into_iter().zip(gone).filter(|(_, gone)| !gone);
    kept.map(|(token, _)| token).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    /// The definition: one merge at a time, looked for from the left.
    fn naive(mut tokens: Vec<u32>, merges: &Merges) -> Vec<u32> {
        loop {
            let pairs = tokens.windows(2).zip(0..);
            let found = pairs.filter_map(|(pair, at)| Some((merges.get(&(pair[0], pair[1]))?, at)));
            let Some((&(_, token), at)) = found.min_by_key(|((rank, _), at)| (*rank, *at)) else {
                return tokens;
            };
            tokens.splice(at..at + 2, [token]);
        }
    }

    #[test]
    fn merges_are_those_of_the_definition() {
        // Three letters; every merge makes a token of two that were there before.
        for round in 0..200 {
            let word = |i: u64, below: u32| random::word(round, 0, 0, i) % below;
            let merges: Merges = (0..12u32)
                .map(|rank| {
                    let pair = (
                        word(u64::from(2 * rank), 3 + rank),
                        word(u64::from(2 * rank) + 1, 3 + rank),
                    );
                    (pair, (rank, 3 + rank))
                })
                .collect();
            let text: Vec<u32> = (100..160).map(|i| word(i, 3)).collect();
            assert_eq!(merge(text.clone(), &merges), naive(text, &merges), "{merges:?}");
        }
        assert_eq!(merge(vec![], &Merges::new()), [0u32; 0]);
    }
}
