// Columns: a part of kernels/reduce.cu.

constexpr u32 THREADS = ACROSS * DOWN;
constexpr u32 COLUMN_GROUPS = INNER / VECTOR;

// The join of the DOWN values of each column, as a tree; the threads with down 0 get it.
DEVICE void join_down(float (&v)[VECTOR], float (*shared)[VECTOR]) {
#pragma unroll
    for (u32 half = DOWN / 2; half > 0; half /= 2) {
        __syncthreads();
        store<VECTOR>(shared[threadIdx.x], 0, v);
        __syncthreads();
        float other[VECTOR];
        load<VECTOR>(other, shared[(threadIdx.x + half * ACROSS) % THREADS], 0);
#pragma unroll
        for (int k = 0; k < VECTOR; k++) v[k] = join(v[k], other[k]);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    reduce_columns(const Live* live, const float* x, float* y, float* parts, u32* tickets) {
    __shared__ __align__(16) float shared[THREADS][VECTOR];
    const index_t count = SIZE(REDUCED), groups = SIZE(OUTER) * COLUMN_GROUPS;
    const u32 down = threadIdx.x / ACROSS, part = blockIdx.y;
    for (index_t block = blockIdx.x; block * ACROSS < groups; block += gridDim.x) {
        const index_t group = block * ACROSS + threadIdx.x % ACROSS;
        const bool present = group < groups;
        float v[VECTOR];
#pragma unroll
        for (int k = 0; k < VECTOR; k++) v[k] = start();
        if (present) {
            const index_t outer = group / COLUMN_GROUPS, column = group % COLUMN_GROUPS * VECTOR;
            const float* in = x + outer * count * INNER + column;
            strided(v, in, part * DOWN + down, count, PARTS * DOWN, INNER);
        }
        join_down(v, shared);
        if constexpr (PARTS > 1) {
            const index_t results = groups * VECTOR;
            if (present && down == 0) store<VECTOR>(parts, part * results + group * VECTOR, v);
            if (!is_last(tickets + block, PARTS)) continue;
#pragma unroll
            for (int k = 0; k < VECTOR; k++) v[k] = start();
            for (u32 p = down; present && p < PARTS; p += DOWN)
#pragma unroll
                for (int k = 0; k < VECTOR; k++)
                    v[k] = join(v[k], *(const volatile float*)(parts + p * results + group * VECTOR + k));
            join_down(v, shared);
        }
        if (present && down == 0) {
#pragma unroll
            for (int k = 0; k < VECTOR; k++) v[k] = finish(v[k], count);
            store<VECTOR>(y, group * VECTOR, v);
        }
    }
}
