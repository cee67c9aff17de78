// Transposition: y[i0, i1, ..] = x at the sum of i_d * STRIDES[d], for any order of axes.
//
// Shapes: axes of size 1 are dropped and neighbours that stay neighbours are joined before, so the
// lists below are as short as can be. Nothing is computed: 32-bit elements keep their bits. The
// output is overwritten. Floor: 8 bytes an element.
//
// mapped: a piece a thread, grid-stride; for an innermost axis that stays (four elements a piece where
//         its size allows), and for axes too short to fill a tile.
// tiled:  32 x 32 elements a block, through shared memory: both sides read and write whole lines.

#if VECTOR
typedef Vector4 Piece;
#else
typedef u32 Piece;
#endif

#if TILED

// Elements of an outer position, the digits of `rest` by SIZES, in x and in y.
DEVICE void outer(index_t rest, index_t& in, index_t& out) {
    constexpr index_t sizes[] = {SIZES}, strides[] = {STRIDES}, targets[] = {TARGETS};
    in = 0, out = 0;
#pragma unroll
    for (int d = RANK - 1; d >= 0; d--) {
        const index_t digit = d == 0 ? rest : rest % sizes[d];
        in += digit * strides[d], out += digit * targets[d];
        rest /= sizes[d];
    }
}

// P is the size of the axis that is innermost in x, Q that of the one that is innermost in y.
extern "C" __global__ void __launch_bounds__(256)
    tiled(const Live* live, const u32* __restrict__ x, u32* __restrict__ y) {
    __shared__ u32 tile[32][33];
    constexpr index_t across = (P + 31) / 32, down = (Q + 31) / 32;
    const index_t tiles = SIZE(OUTER) * across * down;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (index_t t = blockIdx.x; t < tiles; t += gridDim.x) {
        const index_t p = t % across * 32, q = t / across % down * 32;
        index_t in, out;
        outer(t / (across * down), in, out);
#pragma unroll
        for (u32 k = warp; k < 32; k += 8)
            if (p + lane < P && q + k < Q) tile[k][lane] = x[in + (q + k) * STRIDE_Q + p + lane];
        __syncthreads();
#pragma unroll
        for (u32 k = warp; k < 32; k += 8)
            if (q + lane < Q && p + k < P) y[out + (p + k) * TARGET_P + q + lane] = tile[lane][k];
        __syncthreads();
    }
}

#else

extern "C" __global__ void __launch_bounds__(256)
    mapped(const Live* live, const Piece* __restrict__ x, Piece* __restrict__ y) {
    constexpr index_t sizes[] = {SIZES}, strides[] = {STRIDES};
    const index_t count = SIZE(COUNT), threads = (index_t)gridDim.x * 256;
#pragma unroll 4
    for (index_t i = (index_t)blockIdx.x * 256 + threadIdx.x; i < count; i += threads) {
        index_t rest = i, at = 0;
#pragma unroll
        for (int d = RANK - 1; d >= 0; d--) {
            at += (d == 0 ? rest : rest % sizes[d]) * strides[d];
            rest /= sizes[d];
        }
        y[i] = x[at];
    }
}

#endif
