// Several steps without the host: what it would do before the first step, between two, and after the
// last.
//
// turn: at step t of a burst of `count`, t being where the cursor stands,
//   results[t - 1] = the losses, then the halted flag, if a step was before;
//   block[i] = table[t][i], WORDS words: the trainer's scalars and Live, and for each feed
//   feed[i] = column[order(first + i)] for the rows in use, if a step comes; then t += 1.
// The order is the keyed permutation of src/random.rs, or the identity.
// Outputs are overwritten. Floor: 8 bytes a word picked; the rest is a few hundred bytes.

struct Cursor {
    u32 step, count, ticket;
};

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

// Picks Rows rows of Pieces pieces each, the block's part of them.
template <u32 Rows, u32 Pieces, class Piece>
DEVICE void pick(const Live* live, const Piece* column, Piece* feed, u32 part, u64* places) {
    const u32 base = part * Rows;
    const u32 left = live->rows > base ? live->rows - base : 0, rows = left < Rows ? left : Rows;
    for (u32 i = threadIdx.x; i < rows; i += 256) places[i] = at_place(live, live->first + base + i);
    __syncthreads();
    for (u32 e = threadIdx.x; e < rows * Pieces; e += 256) {
        const u64 from = places[e / Pieces] * Pieces + e % Pieces;
        feed[(u64)base * Pieces + e] = column[from];
    }
}

extern "C" __global__ void __launch_bounds__(256) turn(const u32* table, Cursor* cursor, u32* block,
                                                       float* results, const float* halted
//@ parameters
) {
    __shared__ u64 places[256];
    const u32 step = cursor->step;
    if (blockIdx.x == 0 && step > 0 && threadIdx.x == 0) {
        float* row = results + (u64)(step - 1) * RESULTS;
//@ losses
        row[RESULTS - 1] = halted[0];
    }
    if (step < cursor->count) {
        const u32* row = table + (u64)step * WORDS;
        for (u32 i = threadIdx.x; blockIdx.x == 0 && i < WORDS; i += 256) block[i] = row[i];
        const Live* live = reinterpret_cast<const Live*>(row + WORDS - sizeof(Live) / 4);
        u32 part = blockIdx.x;
//@ feeds
    }
    if (is_last(&cursor->ticket, gridDim.x) && threadIdx.x == 0) cursor->step = step + 1;
}
