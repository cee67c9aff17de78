//! Random numbers that are a function of their position, never of what was drawn before.
//!
//! Everything rests on Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as
//! easy as 1, 2, 3", 2011): a key and a counter go in, four words come out. The word of
//! `(seed, stream, step, element)` is word `element % 4` of the block with
//!
//! ```text
//! key     = [seed bits 0..32, seed bits 32..64]
//! counter = [block bits 0..32, step bits 0..32, stream, (step bits 32..48) << 16 | block bits 32..48]
//! block   = element / 4
//! ```
//!
//! so positions differ while `element` is below 2^50 and `step` below 2^48. A stream is a number
//! given to each use of randomness: every dropout of a model, every initial weight, the shuffle.

use std::convert::Infallible;

use crate::cpu::simd;
use rand::TryRng;

const MULTIPLIERS: [u32; 2] = [0xd251_1f53, 0xcd9e_8d57];
const WEYL: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

/// Philox4x32-10: four random words from a counter and a key.
#[inline(always)]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [a, b, c, d] = philox_lanes(counter.map(|word| [word]), key);
    [a[0], b[0], c[0], d[0]]
}

/// Philox on `N` counters at once, word by word, so that every step is a vector operation.
#[inline(always)]
fn philox_lanes<const N: usize>(counters: [[u32; N]; 4], mut key: [u32; 2]) -> [[u32; N]; 4] {
    let [mut a, mut b, mut c, mut d] = counters;
    for _ in 0..10 {
        for (((a, b), c), d) in a.iter_mut().zip(&mut b).zip(&mut c).zip(&mut d) {
            let even = u64::from(*a) * u64::from(MULTIPLIERS[0]);
            let odd = u64::from(*c) * u64::from(MULTIPLIERS[1]);
            (*a, *b) = ((odd >> 32) as u32 ^ *b ^ key[0], odd as u32);
            (*c, *d) = ((even >> 32) as u32 ^ *d ^ key[1], even as u32);
        }
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    [a, b, c, d]
}

/// The key of a seed.
#[inline(always)]
fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// The counter of a block of four elements; see the head of this module.
#[inline(always)]
fn counter(stream: u32, step: u64, block: u64) -> [u32; 4] {
    let high = ((step >> 32) as u32) << 16 | (block >> 32) as u32 & 0xffff;
    [block as u32, step as u32, stream, high]
}

/// The upper 24 bits as a fraction: a multiple of 2^-24 in `0..1`.
#[inline(always)]
pub(crate) fn fraction(word: u32) -> f32 {
    // By way of i32, whose conversion is one instruction on every machine.
    (word >> 8) as i32 as f32 * (1.0 / 16_777_216.0)
}

/// The four words of a block of elements: those of `4 · block` to `4 · block + 3`.
#[inline(always)]
pub(crate) fn words(seed: u64, stream: u32, step: u64, block: u64) -> [u32; 4] {
    philox(counter(stream, step, block), key(seed))
}

/// The random word at a position.
#[inline(always)]
pub fn word(seed: u64, stream: u32, step: u64, element: u64) -> u32 {
    words(seed, stream, step, element / 4)[(element % 4) as usize]
}

/// A number in `0..1` with 24 random bits: the upper ones of [`word`].
#[inline(always)]
pub fn uniform(seed: u64, stream: u32, step: u64, element: u64) -> f32 {
    fraction(word(seed, stream, step, element))
}

/// Blocks that [`fill_uniform`] makes at once.
const LANES: usize = 16;

/// Writes [`uniform`] of `first_element`, `first_element + 1`, ... over `out`, bit for bit.
pub fn fill_uniform(seed: u64, stream: u32, step: u64, first_element: u64, out: &mut [f32]) {
    simd::dispatch(FillUniform { seed, stream, step, first_element, out });
}

struct FillUniform<'a> {
    seed: u64,
    stream: u32,
    step: u64,
    first_element: u64,
    out: &'a mut [f32],
}

impl simd::Vectorised for FillUniform<'_> {
    #[inline(always)]
    fn run(self) {
        let FillUniform { seed, stream, step, first_element, out } = self;
        let ahead = ((4 - first_element % 4) % 4).min(out.len() as u64);
        let (head, rest) = out.split_at_mut(ahead as usize);
        for (i, value) in head.iter_mut().enumerate() {
            *value = uniform(seed, stream, step, first_element + i as u64);
        }
        let mut block = (first_element + ahead) / 4;
        let mut chunks = rest.chunks_exact_mut(4 * LANES);
        for chunk in &mut chunks {
            fill_blocks(seed, stream, step, block, chunk);
            block += LANES as u64;
        }
        let tail = chunks.into_remainder();
        if !tail.is_empty() {
            let mut chunk = [0.0; 4 * LANES];
            fill_blocks(seed, stream, step, block, &mut chunk);
            tail.copy_from_slice(&chunk[..tail.len()]);
        }
    }
}

/// Writes the elements of [`LANES`] blocks over `out`.
#[inline(always)]
fn fill_blocks(seed: u64, stream: u32, step: u64, block: u64, out: &mut [f32]) {
    let mut words = [[0; LANES]; 4];
    for i in 0..LANES {
        let c = counter(stream, step, block + i as u64);
        for (word, c) in words.iter_mut().zip(c) {
            word[i] = c;
        }
    }
    let words = philox_lanes(words, key(seed));
    for (i, four) in out.chunks_exact_mut(4).enumerate() {
        for (value, word) in four.iter_mut().zip(&words) {
            *value = fraction(word[i]);
        }
    }
}

/// The words of one `(seed, stream, step)`, element 0 first, as a generator for [`rand`].
///
/// ```
/// use ironwarp::random::PhiloxRng;
/// use rand_distr::{Distribution, StandardNormal};
///
/// let mut rng = PhiloxRng::new(42, 0, 0);
/// let x: f64 = StandardNormal.sample(&mut rng);
/// # assert!(x.is_finite());
/// ```
#[derive(Clone, Debug)]
pub struct PhiloxRng {
    seed: u64,
    stream: u32,
    step: u64,
    element: u64,
    block: [u32; 4],
}

impl PhiloxRng {
    /// A generator that stands at element 0.
    pub fn new(seed: u64, stream: u32, step: u64) -> Self {
        PhiloxRng { seed, stream, step, element: 0, block: [0; 4] }
    }
}

impl TryRng for PhiloxRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let lane = (self.element % 4) as usize;
        if lane == 0 {
            let counter = counter(self.stream, self.step, self.element / 4);
            self.block = philox(counter, key(self.seed));
        }
        self.element += 1;
        Ok(self.block[lane])
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let low = self.try_next_u32()?;
        Ok(u64::from(self.try_next_u32()?) << 32 | u64::from(low))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(4) {
            let word = self.try_next_u32()?.to_le_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

/// Rounds of the Feistel network of a [`Permutation`].
const ROUNDS: usize = 12;

/// A random permutation of `0..rows` that is computed, not stored.
///
/// A balanced Feistel network permutes the smallest domain of 4^h >= `rows` numbers, h >= 4. A
/// number that lands outside `0..rows` is sent through again until it lands inside, which makes
/// the whole a bijection on `0..rows`. The domain is at most four times `rows`, or 256 numbers, so
/// few rounds of that are needed; and a domain far larger than a small `rows` is what makes all
/// permutations of a few rows equally likely.
///
/// ```text
/// get(i):
///     do
///         left = i >> h; right = i & (2^h - 1)
///         for key in keys: (left, right) = (right, left ^ (mix(right ^ key) >> (32 - h)))
///         i = left << h | right
///     while i >= rows
/// mix(x): x *= 0xd2511f53; x ^= x >> 15; x *= 0xcd9e8d57; x ^= x >> 16; x *= 0xd2511f53
/// ```
///
/// The keys are [`word`] 0 to 11 of `(seed, stream, epoch)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permutation {
    rows: u64,
    half: u32,
    keys: [u32; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..rows` for a seed, a stream and an epoch.
    pub fn new(seed: u64, stream: u32, epoch: u64, rows: u64) -> Self {
        let bits = u64::BITS - rows.saturating_sub(1).leading_zeros();
        let keys = std::array::from_fn(|i| word(seed, stream, epoch, i as u64));
        Permutation { rows, half: bits.div_ceil(2).max(4), keys }
    }

    /// Bits of one half of a number, and the keys of the rounds: what a device needs to compute it.
    pub fn parts(&self) -> (u32, &[u32]) {
        (self.half, &self.keys)
    }

    /// How many numbers are permuted.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes what stands at places `first`, `first + 1`, ... over `out`; much faster than one by one.
    ///
    /// # Panics
    /// If a place is not below [`rows`](Self::rows).
    pub fn fill(&self, first: u64, out: &mut [usize]) {
        let end = first.checked_add(out.len() as u64);
        assert!(end.is_some_and(|end| end <= self.rows), "places from {first}: {}", self.rows);
        if self.half > 16 {
            for (i, out) in (first..).zip(out) {
                *out = self.get(i) as usize;
            }
        } else {
            simd::dispatch(Fill { permutation: self, first: first as u32, out });
        }
    }

    /// What stands at place `index`.
    ///
    /// # Panics
    /// If `index` is not below [`rows`](Self::rows), as indexing a slice does.
    pub fn get(&self, index: u64) -> u64 {
        assert!(index < self.rows, "index {index} of a permutation of {} rows", self.rows);
        let mut i = index;
        loop {
            let mut left = (i >> self.half) as u32;
            let mut right = (i & ((1 << self.half) - 1)) as u32;
            for key in self.keys {
                (left, right) = (right, left ^ (mix(right ^ key) >> (32 - self.half)));
            }
            i = u64::from(left) << self.half | u64::from(right);
            if i < self.rows {
                return i;
            }
        }
    }
}

/// Places of a permutation of at most 2^32 numbers.
struct Fill<'a> {
    permutation: &'a Permutation,
    first: u32,
    out: &'a mut [usize],
}

/// Numbers that go through the network together.
const TOGETHER: usize = 128;

impl simd::Vectorised for Fill<'_> {
    #[inline(always)]
    fn run(self) {
        let Fill { permutation: &Permutation { rows, half, keys }, mut first, out } = self;
        for out in out.chunks_mut(TOGETHER) {
            let mut numbers: [u32; TOGETHER] =
                std::array::from_fn(|i| first.wrapping_add(i as u32));
            let mut places: [usize; TOGETHER] = std::array::from_fn(|i| i);
            let mut left = out.len();
            while left > 0 {
                let whole = left.next_multiple_of(16);
                for number in &mut numbers[..whole] {
                    let (mut left, mut right) = (*number >> half, *number & ((1 << half) - 1));
                    for key in keys {
                        (left, right) = (right, left ^ (mix(right ^ key) >> (32 - half)));
                    }
                    *number = left << half | right;
                }
                // Those that are outside go through again.
                let mut again = 0;
                for i in 0..left {
                    let (number, place) = (numbers[i], places[i]);
                    out[place] = number as usize;
                    (numbers[again], places[again]) = (number, place);
                    again += usize::from(u64::from(number) >= rows);
                }
                left = again;
            }
            first = first.wrapping_add(out.len() as u32);
        }
    }
}

/// Makes every bit of the upper half depend on every bit of `x`.
#[inline(always)]
fn mix(x: u32) -> u32 {
    let x = x.wrapping_mul(MULTIPLIERS[0]);
    let x = (x ^ (x >> 15)).wrapping_mul(MULTIPLIERS[1]);
    (x ^ (x >> 16)).wrapping_mul(MULTIPLIERS[0])
}

#[cfg(test)]
mod tests;
