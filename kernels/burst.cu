// Several steps without the host: before each its control block, after each its results.
//
// begin:  block[i] = table[cursor][i], WORDS words: the trainer's scalars and Live.
// pick:   feed[i] = column[order(first + i)] for the rows in use, WIDTH words a row; order is the
//         keyed permutation of src/random.rs, or the identity.
// finish: results[cursor] = the losses, then the halted flag; cursor += 1.
// Outputs are overwritten. Floor: 8 bytes a word picked; the rest is a few hundred bytes.

#if BEGIN

extern "C" __global__ void __launch_bounds__(256) begin(const u32* table, const u32* cursor,
                                                        u32* block) {
    const u32* row = table + (u64)*cursor * WORDS;
    for (u32 i = threadIdx.x; i < WORDS; i += 256) block[i] = row[i];
}

#elif PICK

#if WIDTH % 4 == 0
constexpr u32 PIECES = WIDTH / 4;
typedef Vector4 Piece;
#else
constexpr u32 PIECES = WIDTH;
typedef u32 Piece;
#endif

DEVICE u32 mix(u32 x) {
    x *= 0xd2511f53u;
    x = (x ^ (x >> 15)) * 0xcd9e8d57u;
    return (x ^ (x >> 16)) * 0xd2511f53u;
}

// What stands at a place of the order.
DEVICE u64 at_place(const Live* live, u64 i) {
    const u32 half = live->half;
    if (half == 0) return i;
    do {
        u32 left = (u32)(i >> half), right = (u32)(i & ((1ull << half) - 1));
#pragma unroll
        for (int round = 0; round < 12; round++) {
            const u32 next = left ^ (mix(right ^ live->keys[round]) >> (32 - half));
            left = right;
            right = next;
        }
        i = (u64)left << half | right;
    } while (i >= live->total);
    return i;
}

extern "C" __global__ void __launch_bounds__(256) pick(const Live* live, const Piece* column,
                                                       Piece* feed) {
    __shared__ u64 places[BLOCK_ROWS];
    const u32 base = blockIdx.x * BLOCK_ROWS;
    const u32 left = live->rows > base ? live->rows - base : 0;
    const u32 rows = left < BLOCK_ROWS ? left : BLOCK_ROWS;
    for (u32 i = threadIdx.x; i < rows; i += 256) places[i] = at_place(live, live->first + base + i);
    __syncthreads();
    for (u32 e = threadIdx.x; e < rows * PIECES; e += 256) {
        const u64 from = places[e / PIECES] * PIECES + e % PIECES;
        feed[(u64)base * PIECES + e] = column[from];
    }
}

#else

extern "C" __global__ void __launch_bounds__(32) finish(u32* cursor, float* results, const float* halted,
//@ losses
) {
    if (threadIdx.x != 0) return;
    const u32 at = *cursor;
    float* row = results + (u64)at * RESULTS;
//@ copies
    row[RESULTS - 1] = halted[0];
    *cursor = at + 1;
}

#endif
