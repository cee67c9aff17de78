//! The bugs: each a piece of a kernel's text and what stands there instead.

/// A mistake in a kernel.
pub(crate) struct Bug {
    /// What is wrong.
    pub(crate) name: &'static str,
    /// The file of `kernels/` that it is planted in.
    pub(crate) file: &'static str,
    /// The text that is replaced; it stands in the file once.
    pub(crate) find: &'static str,
    /// What replaces it.
    pub(crate) replace: &'static str,
    /// The op whose kernel shows it.
    pub(crate) op: &'static str,
    /// Which of the op's cases: the first whose label and inputs hold this.
    pub(crate) case: &'static str,
}

const fn bug(
    name: &'static str,
    (file, op, case): (&'static str, &'static str, &'static str),
    find: &'static str,
    replace: &'static str,
) -> Bug {
    Bug { name, file, find, replace, op, case }
}

const LONG: (&str, &str, &str) = ("matmul.cu", "matmul", "f32[517, 33]");
const LAST: (&str, &str, &str) = ("prelude.cuh", "matmul", "f32[517, 33]");
const TOTAL: (&str, &str, &str) = (
    "softmax_cross_entropy.cu",
    "softmax_cross_entropy_with_gradient",
    "f32[B, 10], u32[B], f32[B]",
);
const SUMS: (&str, &str, &str) = ("matmul.cu", "matmul", "row sums f32[B, 20]");
const ODD: (&str, &str, &str) = ("matmul.cu", "matmul", "f32[17, 33], f32[33, 65]");
const TURNED: (&str, &str, &str) = ("transpose.cu", "transpose", "f32[40, 33]");
const ROW_SUM: (&str, &str, &str) = ("reduce_parts.cuh", "reduce", "f32[B, 5003]");
const COLUMN_SUM: (&str, &str, &str) = ("reduce_columns.cuh", "reduce", "f32[B, 132]");
const SCATTER: (&str, &str, &str) = ("gather.cu", "gather_gradient", "u32[B, 61]");
const NORM: (&str, &str, &str) = ("layer_norm.cu", "layer_norm", "f32[B, 37]");
const SLOPE: (&str, &str, &str) = ("layer_norm.cu", "layer_norm_gradient", "f32[B, 37]");
const RANDOM: (&str, &str, &str) = ("prelude.cuh", "pointwise", "uniform");
const WARP: (&str, &str, &str) = ("warp.cu", "warp", "");
const DRAW: (&str, &str, &str) = ("draw.cu", "draw", "");
const TURN: (&str, &str, &str) = ("roll.cu", "roll", "roll -2");
const BLOT: (&str, &str, &str) =
    ("rectangles.cu", "rectangles", "f32[B], f32[B], f32[B], f32[B], f32[B]");
const PLUS: (&str, &str, &str) = ("pointwise.cu", "pointwise", "f32[B, 2, 5], f32[B, 2, 5]");

/// All of them; those of one case stand together, so that its kernel is compiled once as it is.
#[rustfmt::skip]
pub(crate) const BUGS: &[Bug] = &[
    bug("no barrier after the tiles are read", LONG,
        "        }\n        __syncthreads();\n    }\n\n    const index_t m = SIZE", "        }\n    }\n\n    const index_t m = SIZE"),
    bug("no barrier before the first tile is read", LONG,
        "next_b.put(b_tiles[0]);\n    __syncthreads();", "next_b.put(b_tiles[0]);"),
    bug("the ticket is not set back", LAST, "atomicInc(ticket, count - 1)", "atomicAdd(ticket, 1u)"),
    bug("parts are added in the order of their arrival", LONG,
        "load<JOINED>(sum, scratch, e);\n        for (index_t part = 1; part < parts; part++) {\n            float more[JOINED];\n            load<JOINED>(more, scratch, part * STRIDE + e);",
        "load<JOINED>(sum, scratch, blockIdx.y * (index_t)STRIDE + e);\n        for (index_t part = 1; part < parts; part++) {\n            float more[JOINED];\n            load<JOINED>(more, scratch, (part + blockIdx.y) % parts * STRIDE + e);"),
    bug("who came last is read before it is written", LAST,
        "atomicInc(ticket, count - 1);\n    __syncthreads();", "atomicInc(ticket, count - 1);"),
    bug("parts overlap by one", LONG, "least(begin + CHUNK, length)", "least(begin + CHUNK + 1, length)"),
    bug("blocks of all columns store row sums", SUMS, "at.column == 0 && threadIdx.x < ROWS", "threadIdx.x < ROWS"),
    bug("the row sums of a part are left out", SUMS, "part < parts; part++) row_sum", "part + 1 < parts; part++) row_sum"),
    bug("the last k is left out", ODD, "dk >= left_k)", "dk + 1 >= left_k)"),
    bug("a tile with a single k alone is not filled up", ODD, "dk >= left_k) {", "dk >= left_k && left_k + k != 1) {"),
    bug("what lies past the last k is added", ODD,
        "if (!(WHOLE_DEPTH && UNITS % THREADS == 0) && dk >= left_k) {", "if (false) {"),
    bug("no guard of the last column", ODD,
        "if (!WHOLE_COLUMNS && column >= WIDTH) continue;", ""),
    bug("a row in place of a column", ODD, "at.column + corner.column + apart", "at.column + corner.row + apart"),
    bug("a line of the tile has another length", ("matmul.cu", "matmul", "f32[B, 64], f32[10, 64]"), "to[at + w * PITCH]", "to[at + w * X]"),
    bug("no guard of rows that are not in use", ("matmul.cu", "matmul", "f32[B, 64], f32[10, 64]"),
        "if (!WHOLE_ROWS && row >= m) continue;", ""),
    bug("the first matrix for all", ("matmul.cu", "matmul", "f32[B, 4, 6], f32[B, 6, 5]"),
        "SHARED_B ? 0 : start.matrix", "SHARED_B ? 0 : 0 * start.matrix"),
    bug("rows and columns of the tile swapped", TURNED, "= tile[lane][k];", "= tile[k][lane];"),
    bug("no barrier between the two sides of a tile", TURNED,
        "+ p + lane];\n        __syncthreads();", "+ p + lane];"),
    bug("a barrier that not all threads reach", TURNED,
        "+ p + lane];\n        __syncthreads();", "+ p + lane];\n        if (q + lane < Q) __syncthreads();"),
    bug("<= for < at the edge of a tile", TURNED, "q + lane < Q && p + k < P", "q + lane <= Q && p + k < P"),
    bug("the stride of the other side", TURNED, "(p + k) * TARGET_P", "(p + k) * STRIDE_Q"),
    bug("one element more than there are", ("transpose.cu", "transpose", "f32[B, 3, 5, 7]"), "i < count; i += threads", "i <= count; i += threads"),
    bug("no barrier before the warps' sums are read", ("prelude.cuh", "reduce", "f32[B, 5003]"),
        "__syncthreads();\n    float sum = shared[0];", "float sum = shared[0];"),
    bug("the last row's loss is left out", TOTAL, "i < SIZE(ROWS); i += THREADS", "i + 1 < SIZE(ROWS); i += THREADS"),
    bug("all rows weigh as the first does", TOTAL, "BY_ROW ? team.row() : 0", "0"),
    bug("a row counts for every team that has none", SLOPE, "if (writes) part.add", "part.add"),
    bug("a set of blocks is counted one short", SLOPE, "(blocks - set + sets - 1) / sets", "(blocks - set) / sets"),
    bug("teams add up without waiting for each other", SLOPE, "            __syncthreads();\n            if (team != turn) continue;", "            if (team != turn) continue;"),
    bug("the ticket of a sum is not set back", ("prelude.cuh", "reduce", "f32[B, 5003]"), "atomicInc(ticket, count - 1)", "atomicAdd(ticket, 1u)"),
    bug("only the last block's part", ROW_SUM, "row_parts[blockIdx.x] = result;", "row_parts[0] = result;"),
    bug("no barrier before the next half is written", COLUMN_SUM,
        "half /= 2) {\n        __syncthreads();", "half /= 2) {"),
    bug("no barrier before the other half is read", COLUMN_SUM,
        "store<VECTOR>(shared[threadIdx.x], 0, v);\n        __syncthreads();", "store<VECTOR>(shared[threadIdx.x], 0, v);"),
    bug("the neighbour's column", COLUMN_SUM, "half * ACROSS) % THREADS", "half) % THREADS"),
    bug("no barrier before the counts are added", SCATTER,
        "= __popc(found[k]);\n        }\n        __syncthreads();", "= __popc(found[k]);\n        }"),
    bug("no warp barrier before staged places are read", SCATTER,
        "have += __popc(all);\n            __syncwarp();", "have += __popc(all);"),
    bug("a ballot that not all lanes reach", SCATTER,
        "float sum[VECTOR] = {};", "if (!inside) continue;\n        float sum[VECTOR] = {};"),
    bug("counts of a tile where the last one's are still read", SCATTER, "base += TILE, turn ^= 1)", "base += TILE)"),
    bug("positions counted from their tile", SCATTER,
        "listed.positions[slot] = base + k * 256", "listed.positions[slot] = k * 256"),
    bug("the wrong index for a piece", ("gather.cu", "gather", "f32[7, 3]"), "i % PIECES];", "i / PIECES];"),
    bug("columns counted from the wrong place", ("bands.cu", "concatenate", "f32[B, 1], f32[B, 1], f32[B, 1]"),
        "row * WIDTH + column", "row * SPAN + column"),
    bug("four elements where fewer are left", PLUS, "4 * j + 3 < count", "4 * j < count"),
    bug("one element of the tail", PLUS, "j < count; j += threads) elements<1>", "j <= count / 4 * 4; j += threads) elements<1>"),
    bug("sizes of all rows there is room for", PLUS, "const index_t count = SIZE(COUNT);", "const index_t count = SIZE(COUNT) + COUNT_PER_ROW;"),
    bug("the first group's scalars for all", ("pointwise.cu", "pointwise", "f32[8419], f32[3]"), "return range;", "return 0 * range;"),
    bug("two elements of a vector swapped", ("prelude.cuh", "pointwise", "f32[B, 2, 5], f32[B, 2, 5]"),
        "out[2] = v.z, out[3] = v.w;", "out[2] = v.w, out[3] = v.z;"),
    bug("a coefficient's sign", ("prelude.cuh", "pointwise", "tanh"), "-0.3333328f, 0.13331406f", "-0.3333328f, -0.13331406f"),
    bug("a random block for two elements", RANDOM, "element >> 2)", "element >> 1)"),
    bug("nine rounds for ten", RANDOM, "round < 10;", "round < 9;"),
    bug("random numbers that know no stream", RANDOM, "(u32)step, stream, high}", "(u32)step, 0u, high}"),
    bug("the seed's halves swapped", RANDOM, "(u32)seed, (u32)(seed >> 32)", "(u32)(seed >> 32), (u32)seed"),
    bug("a lane of the random words twice", RANDOM, "(u32)element & 3u", "(u32)element & 2u"),
    bug("half of a warp is left out", ("prelude.cuh", "reduce", "f32[B, 5003]"), "distance = Lanes / 2; distance > 0; distance >>= 1)\n        x += ", "distance = Lanes / 4; distance > 0; distance >>= 1)\n        x += "),
    bug("an element past the row", ("rows.cuh", "softmax", "f32[B, 3, 5]"), "|| i < WIDTH", "|| i <= WIDTH"),
    bug("a variance about zero", NORM, "(v[0][k] - mean) * (v[0][k] - mean)", "v[0][k] * v[0][k]"),
    bug("epsilon outside of the root", NORM, "sqrtf(team.sum(squares) / WIDTH + EPSILON)", "(sqrtf(team.sum(squares) / WIDTH) + EPSILON)"),
    bug("a mean in the place of the row before", NORM, "means[team.row()] = mean;", "means[team.row() / 2 * 2] = mean;"),
    bug("the mean of the gradient is left out", SLOPE, "(v[1][e] - offset - v", "(v[1][e] - v"),
    bug("what was normalised is normalised again", SLOPE, "if (k < 0) normalise", "normalise"),
    bug("one place for the parts of two sums", ("rows.cuh", "layer_norm", "f32[B, 25004]"),
        "return block_sum<WARPS>(x, partial[sums++ & 1]);", "return block_sum<WARPS>(x, partial[0]);"),
    bug("only the last element is added", ("softmax.cu", "softmax", "f32[B, 37]"), "sum += e;", "sum = e;"),
    bug("a pixel beyond the right edge", WARP, "x >= 0 && x < W ?", "x >= 0 && x <= W ?"),
    bug("the lower neighbours from the upper line", WARP, "(1.0f - s) * pixel(plane, i + 1, j)", "(1.0f - s) * pixel(plane, i, j)"),
    bug("an image's middle off by half", WARP, "(float)(W - 1) * 0.5f", "(float)W * 0.5f"),
    bug("rows drawn by their place in the batch", DRAW, "(u64)rows[row] * BLOCKS", "(u64)row * BLOCKS"),
    bug("numbers that know no epoch", DRAW, "(u64)epoch[0]", "0"),
    bug("the row's end is overwritten", DRAW, "if (k < left)", "if (k <= left)"),
    bug("rows moved the other way", TURN, "i < turned ? i + (count - turned) : i - turned", "i + turned < count ? i + turned : i + turned - count"),
    bug("rows moved round all there is room for", TURN, "SIZE(ROWS) * PIECES", "(SIZE(ROWS) + 1) * PIECES"),
    bug("a negative shift is not brought round", TURN, "rest < 0 ? rest + rows : rest", "rest"),
    bug("lines counted through all rows", BLOT, "const float i = (float)(at / WIDTH)", "const float i = (float)(n / WIDTH)"),
];
