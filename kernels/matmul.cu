// Matrix product: C = op(A) op(B), matrix by matrix, then a scalar program of every element of C.
//
// Shapes: with h = HEIGHT, l = LENGTH and w = WIDTH, A is [BATCH, h, l], or [BATCH, l, h] with
// TRANSPOSE_A; B is [BATCH, l, w], or [BATCH, w, l] with TRANSPOSE_B, and without BATCH where it is
// SHARED_B; outputs are [BATCH, h, w]. BATCH, h and l may depend on the rows in use.
// Outputs are overwritten. With ROW_SUMS, it names one more output: the sums of the rows of op(A), [h].
// Computes in f32: one accumulator an element, from 0, fused multiply-adds, k ascending: the bits of
// src/cpu/gemm.rs, whatever the tile. With PARTS > 1, sums over CHUNK of k each are left in scratch
// memory, and the last block of a tile to arrive adds them in ascending order. Row sums, k ascending
// too, are added by the blocks of the first column, from the tiles that they have in shared memory.
// Floor: 2 BATCH h w l flops; every operand read once, every output written once. Predicted, not
// measured: two thirds of the f32 peak where 128 x 128 tiles fill the card, less for smaller tiles.
//
// matmul: a block computes ROWS x COLUMNS of one matrix, or a part of their sums. DEPTH of k at a
// time go through registers into shared memory, of which there are two copies: while one is used the
// next is on its way. A warp is LANES_DOWN x 32 / LANES_DOWN lanes; a lane has THREAD_ROWS x
// THREAD_COLUMNS elements, in groups of four that lie a warp's width apart, so that a warp reads
// shared memory without conflicts and writes whole lines.

constexpr int LANES_ACROSS = 32 / LANES_DOWN;
constexpr int THREADS = 32 * WARPS_DOWN * WARPS_ACROSS;
constexpr int WARP_ROWS = LANES_DOWN * THREAD_ROWS;
constexpr int WARP_COLUMNS = LANES_ACROSS * THREAD_COLUMNS;
constexpr int ROWS = WARPS_DOWN * WARP_ROWS;
constexpr int COLUMNS = WARPS_ACROSS * WARP_COLUMNS;

constexpr index_t TILES_ACROSS = (WIDTH + COLUMNS - 1) / COLUMNS;
constexpr bool WHOLE_ROWS = !HEIGHT_PER_ROW && HEIGHT_FIXED % ROWS == 0;
constexpr bool WHOLE_COLUMNS = WIDTH % COLUMNS == 0;
constexpr bool WHOLE_DEPTH = !LENGTH_PER_ROW && LENGTH_FIXED % DEPTH == 0;

// Length of a group of a lane's rows or columns, and of the groups that are stored.
template <int COUNT> constexpr int GROUP = COUNT % 4 == 0 ? 4 : 1;
constexpr int STORED = WIDTH % 4 == 0 ? GROUP<THREAD_COLUMNS> : 1;

DEVICE index_t least(index_t a, index_t b) { return a < b ? a : b; }

// The way of one operand's tile, X rows of A or columns of B by DEPTH, through registers into shared
// memory, where element (k, x) stands at k PITCH + x. It is stored [x, k] if it is TURNED, else
// [k, x], with LINE elements a line; WHOLE says that all its tiles have X of x. A warp takes 32 bytes
// of a line at once from a turned operand: whole sectors, which spread over all banks.
template <int X, bool TURNED, index_t LINE, bool WHOLE> struct Operand {
    static constexpr int W = LINE % 4 == 0 ? 4 : 1;
    static constexpr int PITCH = TURNED ? X + 4 : X;
    static constexpr int UNITS = X * DEPTH / W;
    static constexpr int LOADS = (UNITS + THREADS - 1) / THREADS;
    // A turned tile is taken by eights of k; lines and eights that all threads take at a time.
    static constexpr int LINES = THREADS * W / 8 < X ? THREADS * W / 8 : X;
    static constexpr int EIGHTS = THREADS * W / 8 / LINES;

    float held[LOADS][W];
    const float* from;
    int x, k, left_x;

    // How far the thread's load i is from its first.
    static DEVICE constexpr int far_x(int i) { return TURNED ? i % (X / LINES) * LINES : 0; }
    static DEVICE constexpr int far_k(int i) {
        return TURNED ? i / (X / LINES) * EIGHTS * 8 : i * (THREADS * W / X);
    }

    DEVICE Operand(const float* matrix, index_t first_x, index_t count_x, index_t first_k) : held{} {
        const int t = threadIdx.x;
        x = TURNED ? t * W / 8 % X : t * W % X;
        k = TURNED ? t * W % 8 + t * W / 8 / X * 8 : t * W / X;
        left_x = (int)least(count_x - first_x, X) - x;
        const index_t at_x = first_x + x, at_k = first_k + k;
        from = matrix + (TURNED ? at_x * LINE + at_k : at_k * LINE + at_x);
    }

    // Begins to load the next tile, of which `left` of k are in use. What lies past the last x is not
    // loaded, and nobody uses what comes of it; past the end of k it is 0 in A and -0 in B, since
    // 0 * -0 + c is c, even if that is a zero of either sign.
    DEVICE void fetch(index_t left, float past) {
        const int left_k = (int)least(left, DEPTH) - k;
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
            const int dx = far_x(i), dk = far_k(i);
            if (!(WHOLE_DEPTH && UNITS % THREADS == 0) && dk >= left_k) {
                for (int w = 0; w < W; w++) held[i][w] = past;
            } else if (WHOLE || dx < left_x) {
                load<W>(held[i], from, TURNED ? dx * LINE + dk : dk * LINE + dx);
            }
        }
        from += TURNED ? DEPTH : DEPTH * LINE;
    }

    DEVICE void put(float* tile) const {
        float* to = tile + k * PITCH + x;
#pragma unroll
        for (int i = 0; i < LOADS; i++) {
            const int at = far_k(i) * PITCH + far_x(i);
            if (UNITS % THREADS != 0 && k + far_k(i) >= DEPTH) continue;
            if constexpr (TURNED) {
#pragma unroll
                for (int w = 0; w < W; w++) to[at + w * PITCH] = held[i][w];
            } else {
                store<W>(to, at, held[i]);
            }
        }
    }
};

typedef Operand<ROWS, !TRANSPOSE_A, TRANSPOSE_A ? HEIGHT_FIXED : LENGTH_FIXED, WHOLE_ROWS> A;
typedef Operand<COLUMNS, TRANSPOSE_B, TRANSPOSE_B ? LENGTH_FIXED : WIDTH, WHOLE_COLUMNS> B;

// How far a lane's element i is from its first, in its warp's rows or columns.
template <int COUNT, int LANES> DEVICE constexpr int apart(int i) {
    constexpr int V = GROUP<COUNT>;
    return i / V * V * LANES + i % V;
}

template <int COUNT, int LANES> DEVICE void fragment(float (&out)[COUNT], const float* line) {
    constexpr int V = GROUP<COUNT>;
#pragma unroll
    for (int i = 0; i < COUNT; i += V) {
        float group[V];
        load<V>(group, line, apart<COUNT, LANES>(i));
#pragma unroll
        for (int v = 0; v < V; v++) out[i + v] = group[v];
    }
}

// The thread's first element in its block's tile.
struct Corner {
    int row, column;

    DEVICE Corner() {
        const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
        row = warp / WARPS_ACROSS * WARP_ROWS + lane / LANES_ACROSS * GROUP<THREAD_ROWS>;
        column = warp % WARPS_ACROSS * WARP_COLUMNS + lane % LANES_ACROSS * GROUP<THREAD_COLUMNS>;
    }
};

typedef float Sums[THREAD_ROWS][THREAD_COLUMNS];

// Adds the products of one k.
DEVICE void step(Sums& c, const float* a_line, const float* b_line) {
    float a[THREAD_ROWS], b[THREAD_COLUMNS];
    fragment<THREAD_ROWS, LANES_DOWN>(a, a_line);
    fragment<THREAD_COLUMNS, LANES_ACROSS>(b, b_line);
#pragma unroll
    for (int i = 0; i < THREAD_ROWS; i++) {
#pragma unroll
        for (int j = 0; j < THREAD_COLUMNS; j++) c[i][j] = fmaf(a[i], b[j], c[i][j]);
    }
}

// Adds the products of a tile; unrolled further, all its loads are put first and registers run out.
DEVICE void multiply(Sums& c, const float* a, const float* b) {
#pragma unroll(DEPTH < 16 ? DEPTH : 16)
    for (int k = 0; k < DEPTH; k++) step(c, a + k * A::PITCH, b + k * B::PITCH);
}

// Into how many parts sums of so many products are cut.
DEVICE index_t parts_of(index_t length) {
    return PARTS == 1 || length <= CHUNK ? 1 : (length + CHUNK - 1) / CHUNK;
}

struct Place {
    index_t matrix, row, column;
};

#ifdef ROW_SUMS
static_assert(ROWS <= THREADS);

// Adds a tile's part to the sum of the thread's row; past the end of k there are zeros.
DEVICE void add_row(float& sum, const float* tile) {
    if (threadIdx.x >= ROWS) return;
#pragma unroll
    for (int k = 0; k < DEPTH; k++) sum += tile[k * A::PITCH + threadIdx.x];
}
#endif

// Which tile a block has. Blocks that run at the same time take bands of eight tiles' rows, column by
// column, so that they find each other's operands in the L2 cache.
DEVICE Place place(index_t block, index_t tiles_down) {
    const index_t one = tiles_down * TILES_ACROSS, tile = block % one;
    const index_t first = tile / (8 * TILES_ACROSS) * 8, inside = tile % (8 * TILES_ACROSS);
    const index_t height = least(8, tiles_down - first);
    return {block / one, (first + inside % height) * ROWS, inside / height * COLUMNS};
}

#if PARTS > 1
// Elements that are joined at a time.
constexpr int JOINED = WIDTH % 4 == 0 ? 4 : 1;
#endif

// Computes and stores W elements of the outputs, the first of index i, from those of C.
template <int W> DEVICE void finish(const Live* live, index_t i, index_t column, const float (&c)[W],
//@ parameters
) {
//@ epilogue
}

extern "C" __global__ void __launch_bounds__(THREADS, RESIDENT) matmul(
    const Live* live,
#if PARTS > 1
    float* scratch, u32* tickets,
#endif
//@ parameters
) {
    __shared__ __align__(16) float a_tiles[2][DEPTH * A::PITCH];
    __shared__ __align__(16) float b_tiles[2][DEPTH * B::PITCH];
    __shared__ Place at;  // until it is needed again
    const index_t tiles_down = (SIZE(HEIGHT) + ROWS - 1) / ROWS, length = SIZE(LENGTH);
    if (blockIdx.x >= SIZE(BATCH) * tiles_down * TILES_ACROSS || blockIdx.y >= parts_of(length)) return;

    const Place start = place(blockIdx.x, tiles_down);
    if (threadIdx.x == 0) at = start;
    const index_t begin = PARTS == 1 ? 0 : blockIdx.y * (index_t)CHUNK;
    const index_t end = PARTS == 1 ? length : least(begin + CHUNK, length);
    const float* b = x1 + (SHARED_B ? 0 : start.matrix * length * WIDTH);
    A next_a(x0 + start.matrix * SIZE(HEIGHT) * length, start.row, SIZE(HEIGHT), begin);
    B next_b(b, start.column, WIDTH, begin);
    const Corner corner;
    Sums c = {};
    next_a.fetch(end - begin, 0.0f);
    next_b.fetch(end - begin, -0.0f);
    next_a.put(a_tiles[0]);
    next_b.put(b_tiles[0]);
    __syncthreads();
    int now = 0;
#ifdef ROW_SUMS
    float row_sum = 0.0f;
#endif
    for (index_t k = begin; k < end; k += DEPTH) {
        const bool more = k + DEPTH < end;
        if (more) {
            next_a.fetch(end - k - DEPTH, 0.0f);
            next_b.fetch(end - k - DEPTH, -0.0f);
        }
        multiply(c, a_tiles[now] + corner.row, b_tiles[now] + corner.column);
#ifdef ROW_SUMS
        if (at.column == 0) add_row(row_sum, a_tiles[now]);
#endif
        now ^= 1;
        if (more) {
            next_a.put(a_tiles[now]);
            next_b.put(b_tiles[now]);
        }
        __syncthreads();
    }

    const index_t m = SIZE(HEIGHT), first = at.matrix * m;
#ifdef ROW_SUMS
    const index_t own = at.row + threadIdx.x;
    const bool sums = at.column == 0 && threadIdx.x < ROWS && own < m;
#if PARTS > 1
    if (sums) scratch[PARTS * (index_t)STRIDE + blockIdx.y * m + own] = row_sum;
#else
    if (sums) ROW_SUMS[own] = row_sum;
#endif
#endif
#pragma unroll
    for (int i = 0; i < THREAD_ROWS; i++) {
        const index_t row = at.row + corner.row + apart<THREAD_ROWS, LANES_DOWN>(i);
        if (!WHOLE_ROWS && row >= m) continue;
#pragma unroll
        for (int j = 0; j < THREAD_COLUMNS; j += STORED) {
            const index_t column = at.column + corner.column + apart<THREAD_COLUMNS, LANES_ACROSS>(j);
            if (!WHOLE_COLUMNS && column >= WIDTH) continue;
            float group[STORED];
#pragma unroll
            for (int w = 0; w < STORED; w++) group[w] = c[i][j + w];
            const index_t e = (first + row) * WIDTH + column;
#if PARTS > 1
            store<STORED>(scratch, blockIdx.y * (index_t)STRIDE + e, group);
#else
            finish<STORED>(live, e, column, group,
//@ names
            );
#endif
        }
    }
#if PARTS > 1
    const index_t parts = parts_of(SIZE(LENGTH));
    if (!is_last(tickets + blockIdx.x, parts)) return;

#ifdef ROW_SUMS
    if (sums) {
        const float* each = scratch + PARTS * (index_t)STRIDE + own;
        row_sum = each[0];
        for (index_t part = 1; part < parts; part++) row_sum += each[part * m];
        ROW_SUMS[own] = row_sum;
    }
#endif
#pragma unroll 1
    for (int t = threadIdx.x; t < ROWS * COLUMNS / JOINED; t += THREADS) {
        const index_t row = at.row + t / (COLUMNS / JOINED);
        const index_t column = at.column + t % (COLUMNS / JOINED) * JOINED;
        if (row >= m || column >= WIDTH) continue;
        const index_t e = (first + row) * WIDTH + column;
        float sum[JOINED];
        load<JOINED>(sum, scratch, e);
        for (index_t part = 1; part < parts; part++) {
            float more[JOINED];
            load<JOINED>(more, scratch, part * STRIDE + e);
#pragma unroll
            for (int w = 0; w < JOINED; w++) sum[w] += more[w];
        }
        finish<JOINED>(live, e, column, sum,
//@ names
        );
    }
#endif
}
