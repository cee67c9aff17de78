// Few long rows: a part of kernels/reduce.cu.

constexpr int WARPS = 8;

DEVICE float block_join(float x, float* shared) {
    return REDUCTION == MAX ? block_max<WARPS>(x, shared) : block_sum<WARPS>(x, shared);
}

// Four blocks, as the host gives a multiprocessor, leave 64 registers a thread; wide indices want more.
extern "C" __global__ void __launch_bounds__(256, WIDE ? 3 : 4)
    reduce_parts(const Live* live, const float* x, float* y, float* parts, u32* tickets) {
    __shared__ __align__(16) float shared[2][WARPS];
    const index_t count = SIZE(REDUCED), row = blockIdx.y;
    if (row >= SIZE(OUTER)) return;
    const float* in = x + row * count;
    const index_t thread = (index_t)blockIdx.x * 256 + threadIdx.x;
    float lanes[VECTOR];
    strided(lanes, in, thread, count / VECTOR, PARTS * 256, VECTOR);
#pragma unroll
    for (int k = 1; k < VECTOR; k++) lanes[0] = join(lanes[0], lanes[k]);
    index_t tail = count % VECTOR;
    if (thread < tail) lanes[0] = join(lanes[0], map(in[count - tail + thread]));
    float result = block_join(lanes[0], shared[0]);
    if constexpr (PARTS > 1) {
        float* row_parts = parts + row * PARTS;
        if (threadIdx.x == 0) row_parts[blockIdx.x] = result;
        if (!is_last(tickets + row, PARTS)) return;
        result = start();
        for (u32 p = threadIdx.x; p < PARTS; p += 256)
            result = join(result, *(const volatile float*)(row_parts + p));
        result = block_join(result, shared[1]);
    }
    if (threadIdx.x == 0) y[row] = finish(result, count);
}
