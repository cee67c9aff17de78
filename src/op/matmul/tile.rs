//! How a product is cut for a CUDA device: tiles, which change no bit, and parts of the sums, which
//! do and so follow from the shape and the target alone.

use std::fmt;

use super::Sizes;
use crate::op::launch::{Kernel, Target};

/// What one block computes, and how its threads share it. Any tile gives the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// Warps, down and across.
    warps: (usize, usize),
    /// Lanes of a warp one below the other; as many across as make 32.
    lanes: usize,
    /// Elements of a lane, down and across: 1 or a multiple of 4, or any number below 4.
    lane: (usize, usize),
    /// Steps of k that are in shared memory at a time: a multiple of 8 that divides [`CHUNK`].
    depth: usize,
}

const fn tile(warps: (usize, usize), lanes: usize, lane: (usize, usize), depth: usize) -> Tile {
    Tile { warps, lanes, lane, depth }
}

/// All tiles, large to small, then those for few rows or few columns.
const TILES: [Tile; 9] = [
    tile((4, 2), 4, (8, 8), 8),   // 128 x 128
    tile((4, 1), 4, (8, 8), 8),   // 128 x 64
    tile((2, 2), 4, (8, 8), 8),   // 64 x 128
    tile((4, 1), 4, (4, 8), 16),  // 64 x 64
    tile((4, 1), 4, (2, 4), 32),  // 32 x 32
    tile((1, 4), 4, (4, 4), 16),  // 16 x 128
    tile((4, 1), 8, (4, 4), 16),  // 128 x 16
    tile((1, 4), 1, (8, 1), 16),  // 8 x 128
    tile((4, 1), 32, (1, 8), 16), // 128 x 8
];

/// The tiles to choose among.
pub fn tiles() -> &'static [Tile] {
    &TILES
}

impl Tile {
    /// Rows of a tile.
    pub fn rows(&self) -> usize {
        self.warps.0 * self.lanes * self.lane.0
    }

    /// Columns of a tile.
    pub fn columns(&self) -> usize {
        self.warps.1 * (32 / self.lanes) * self.lane.1
    }

    /// Threads of a block.
    pub fn threads(&self) -> usize {
        32 * self.warps.0 * self.warps.1
    }

    /// Blocks that a multiprocessor is to hold at once, which bounds their registers: 512 threads of
    /// 128, or fewer where lanes with 64 sums need some more. Parts of sums are made only where
    /// there would be few blocks.
    fn resident(&self, parts: usize) -> usize {
        let large = self.lane.0 * self.lane.1 == 64 && self.threads() == 128;
        let threads = if parts > 1 {
            256
        } else if large {
            384
        } else {
            512
        };
        threads / self.threads()
    }

    /// Tiles of all matrices.
    pub(super) fn count(&self, sizes: &Sizes) -> usize {
        sizes.batch * sizes.m.div_ceil(self.rows()) * sizes.n.div_ceil(self.columns())
    }

    /// The constants of `kernels/matmul.cu` that make it.
    pub(super) fn constants(&self, parts: usize, kernel: Kernel) -> Kernel {
        kernel
            .constant("WARPS_DOWN", self.warps.0)
            .constant("WARPS_ACROSS", self.warps.1)
            .constant("LANES_DOWN", self.lanes)
            .constant("THREAD_ROWS", self.lane.0)
            .constant("THREAD_COLUMNS", self.lane.1)
            .constant("DEPTH", self.depth)
            .constant("RESIDENT", self.resident(parts))
    }

    /// Estimated time of a product, in multiply-adds of a multiprocessor per step of k: what its
    /// blocks do one after another, drawn out where too few threads hide the latencies.
    ///
    /// A lane reads a row and a column of its elements from shared memory for each step, which costs
    /// as much as 0.6 multiply-adds an element; an element on its way into shared memory costs 4.
    fn cost(&self, sizes: &Sizes, parts: usize, target: &Target) -> f64 {
        let (rows, columns) = (self.rows() as f64, self.columns() as f64);
        let (down, across) = (self.lane.0 as f64, self.lane.1 as f64);
        let reads = 0.6 * (down + across) / (down * across);
        let block = rows * columns * (1.0 + reads) + 4.0 * (rows + columns);
        let blocks = (self.count(sizes) * parts).div_ceil(target.multiprocessors());
        // A multiprocessor of capability 7 has 64 KiB of shared memory, later ones 96 and more.
        let bytes = 8 * self.depth * (self.rows() + self.columns() + 8);
        let held = if target.capability.0 == 7 { (64 << 10) / bytes } else { 512 };
        let threads = blocks.min(self.resident(parts)).min(held) * self.threads();
        blocks as f64 * block / (threads as f64 / 256.0).min(1.0)
    }
}

impl fmt::Display for Tile {
    /// Rows x columns.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.rows(), self.columns())
    }
}

/// The tile that is expected to be fastest.
pub(super) fn choose(sizes: &Sizes, parts: usize, target: &Target) -> Tile {
    let cost = |tile: &Tile| tile.cost(sizes, parts, target);
    let least = TILES.iter().min_by(|a, b| cost(a).total_cmp(&cost(b)));
    *least.expect("invariant: there are tiles")
}

/// Products of one part of a sum, at least; every tile's depth divides lengths of parts.
const CHUNK: usize = 32;

/// How many products one part of each sum has: all, or a multiple of 32 where the output has too few
/// tiles to fill the device. Parts are added in order, so this decides bits; it does not depend on
/// the tile.
pub(super) fn part(sizes: &Sizes, target: &Target) -> usize {
    let tiles = sizes.batch * sizes.m.div_ceil(64) * sizes.n.div_ceil(64);
    let wanted = 2 * target.multiprocessors() / tiles.max(1);
    let parts = wanted.min(sizes.k / 128).clamp(1, 32);
    sizes.k.div_ceil(parts).next_multiple_of(CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOPPER: Target = Target { capability: (9, 0) };

    fn sizes(batch: usize, m: usize, n: usize, k: usize) -> Sizes {
        Sizes { batch, m, n, k }
    }

    fn chosen(sizes: Sizes) -> (usize, usize) {
        let parts = sizes.k.div_ceil(part(&sizes, &HOPPER));
        let tile = choose(&sizes, parts, &HOPPER);
        (tile.rows(), tile.columns())
    }

    #[test]
    fn tiles_are_as_their_table_says() {
        let sizes: Vec<_> = tiles().iter().map(|t| (t.rows(), t.columns(), t.threads())).collect();
        let expected = [
            (128, 128, 256),
            (128, 64, 128),
            (64, 128, 128),
            (64, 64, 128),
            (32, 32, 128),
            (16, 128, 128),
            (128, 16, 128),
            (8, 128, 128),
            (128, 8, 128),
        ];
        assert_eq!(sizes, expected);
        for tile in tiles() {
            assert!(CHUNK.is_multiple_of(tile.depth) && tile.depth.is_multiple_of(8), "{tile:?}");
            let bytes = 8 * tile.depth * (tile.rows() + tile.columns() + 8);
            assert!(bytes <= 48 << 10, "{tile:?} needs {bytes} bytes of shared memory");
        }
    }

    #[test]
    fn large_products_take_large_tiles_and_small_ones_small_tiles() {
        assert_eq!(chosen(sizes(1, 4096, 4096, 4096)), (128, 128));
        assert_eq!(chosen(sizes(1, 32, 128, 64)), (32, 32));
        assert_eq!(chosen(sizes(1, 1, 32000, 1024)), (8, 128));
        assert_eq!(chosen(sizes(1, 65536, 1, 64)), (128, 8));
        assert_eq!(chosen(sizes(1, 65536, 10, 64)), (128, 16));
    }

    #[test]
    fn parts_cover_k_and_are_few_where_tiles_are_many() {
        for k in [0, 1, 127, 255, 256, 784, 4096, 100_000] {
            for (batch, m, n) in [(1, 1, 1), (1, 64, 512), (1, 512, 784), (64, 64, 64)] {
                let length = part(&sizes(batch, m, n, k), &HOPPER);
                let parts = k.div_ceil(length.max(1));
                assert!(length.is_multiple_of(CHUNK) && parts <= 32, "{batch} {m} {n} {k}");
                assert!(parts * 128 <= k.max(128), "parts of at least 128: {k} in {parts}");
            }
        }
        assert_eq!(part(&sizes(1, 4096, 4096, 4096), &HOPPER), 4096);
        assert_eq!(part(&sizes(1, 64, 512, 1024), &HOPPER), 128);
    }
}
