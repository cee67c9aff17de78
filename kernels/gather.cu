// Rows of a table by index, and the gradient of the table.
//
// gather:   y[i, j] = table[indices[i], j], NaN where the index is out of range.
// gradient: y[r, j] = the sum of upstream[i, j] over all i with indices[i] = r, i ascending.
// Shapes: table ROWS x WIDTH; POSITIONS indices; f32, sums in f32. Outputs are overwritten.
// Floor: gather 8 bytes an element of y; gradient 4 bytes an element of upstream and of the table.
//
// gather:   a piece (four columns where WIDTH allows) a thread, grid-stride.
// gradient: a block owns BLOCK_ROWS rows and LANES * VECTOR columns of the table. It reads all
//           indices, 1024 at a time, and lists those of its rows in order, by ballots; groups of
//           LANES threads, each with a row at a time, add what is listed, eight loads in flight. So
//           no addition waits for another row's, none is atomic, and one launch does all. Reading the
//           indices costs 4 bytes x POSITIONS a block, from the second-level cache.

#if VECTOR == 4
typedef Vector4 Piece;
#define MISSING {NOT_A_NUMBER, NOT_A_NUMBER, NOT_A_NUMBER, NOT_A_NUMBER}
#else
typedef float Piece;
#define MISSING NOT_A_NUMBER
#endif

#if GRADIENT

constexpr u32 TILE = 1024, LIST = 1024, GROUPS = 256 / LANES;
constexpr u32 ENOUGH = LANES < 8 ? 8 : LANES;

struct Listed {
    index_t positions[LIST];
    u32 rows[LIST];
    index_t staged[GROUPS][ENOUGH + LANES];
};

// Adds elements `at` .. `at + VECTOR` of the upstream rows of `count` positions, in their order.
DEVICE void add(float (&sum)[VECTOR], const float* upstream, index_t column,
                const index_t* positions, u32 count) {
    u32 k = 0;
    for (; k + 8 <= count; k += 8) {
        float x[8][VECTOR];
#pragma unroll
        for (u32 j = 0; j < 8; j++) load<VECTOR>(x[j], upstream, positions[k + j] * WIDTH + column);
#pragma unroll
        for (u32 j = 0; j < 8; j++)
            for (int v = 0; v < VECTOR; v++) sum[v] += x[j][v];
    }
    for (; k < count; k++) {
        float x[VECTOR];
        load<VECTOR>(x, upstream, positions[k] * WIDTH + column);
        for (int v = 0; v < VECTOR; v++) sum[v] += x[v];
    }
}

// Adds the `count` listed positions to the block's rows, which are zero before if `fresh`.
DEVICE void add_listed(Listed& listed, u32 count, bool fresh, u32 first,
                       const float* __restrict__ upstream, float* __restrict__ y) {
    __syncthreads();
    const u32 group = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    const u32 shift = threadIdx.x % 32 - lane, lanes = FULL_WARP >> (32 - LANES);
    const index_t column = ((index_t)blockIdx.y * LANES + lane) * VECTOR;
    index_t* staged = listed.staged[group];
    for (u32 row = group; row < BLOCK_ROWS; row += GROUPS) {
        const bool inside = column < WIDTH && first + row < ROWS;
        const index_t at = (index_t)(first + row) * WIDTH + column;
        float sum[VECTOR] = {};
        if (inside && !fresh) load<VECTOR>(sum, y, at);
        u32 have = 0;
        for (u32 base = 0; base < count; base += LANES) {
            const u32 i = base + lane;
            const bool found = i < count && listed.rows[i] == row;
            const u32 all = (__ballot_sync(FULL_WARP, found) >> shift) & lanes;
            if (found) staged[have + __popc(all & ((1u << lane) - 1u))] = listed.positions[i];
            have += __popc(all);
            __syncwarp();
            if (have >= ENOUGH || base + LANES >= count) {
                if (inside) add(sum, upstream, column, staged, have);
                have = 0;
            }
            __syncwarp();
        }
        if (inside) store<VECTOR>(y, at, sum);
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(256, 3)
    gradient(const Live* live, const u32* __restrict__ indices, const float* __restrict__ upstream,
             float* __restrict__ y) {
    __shared__ Listed listed;
    __shared__ u32 counts[2][32];
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32 first = blockIdx.x * BLOCK_ROWS;
    const index_t positions = SIZE(POSITIONS);
    u32 count = 0, turn = 0;
    bool fresh = true;
    for (index_t base = 0;; base += TILE, turn ^= 1) {
        u32 row[4], found[4];
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            const index_t i = base + k * 256 + threadIdx.x;
            const u32 index = i < positions ? indices[i] : FULL_WARP;
            row[k] = index < ROWS ? index - first : FULL_WARP;
            found[k] = __ballot_sync(FULL_WARP, row[k] < BLOCK_ROWS);
            if (lane == 0) counts[turn][k * 8 + warp] = __popc(found[k]);
        }
        __syncthreads();
        const u32 own = counts[turn][lane];
        u32 sum = own;
#pragma unroll
        for (u32 distance = 1; distance < 32; distance *= 2) {
            const u32 before = __shfl_up_sync(FULL_WARP, sum, distance);
            if (lane >= distance) sum += before;
        }
        const u32 total = __shfl_sync(FULL_WARP, sum, 31);
        if (base >= positions || count + total > LIST) {
            add_listed(listed, count, fresh, first, upstream, y);
            if (base >= positions) break;
            count = 0, fresh = false;
        }
#pragma unroll
        for (u32 k = 0; k < 4; k++) {
            u32 slot = count + __shfl_sync(FULL_WARP, sum - own, k * 8 + warp);
            slot += __popc(found[k] & ((1u << lane) - 1u));
            if (row[k] < BLOCK_ROWS) {
                listed.positions[slot] = base + k * 256 + threadIdx.x;
                listed.rows[slot] = row[k];
            }
        }
        count += total;
    }
}

#else

extern "C" __global__ void __launch_bounds__(256)
    gather(const Live* live, const Piece* __restrict__ table, const u32* __restrict__ indices,
           Piece* __restrict__ y) {
    const index_t count = SIZE(POSITIONS) * PIECES, threads = (index_t)gridDim.x * 256;
#pragma unroll 4
    for (index_t i = (index_t)blockIdx.x * 256 + threadIdx.x; i < count; i += threads) {
        const u32 index = indices[i / PIECES];
        Piece piece = MISSING;
        if (index < ROWS) piece = table[(index_t)index * PIECES + i % PIECES];
        y[i] = piece;
    }
}

#endif
