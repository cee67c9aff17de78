// Layer norm over rows: y = (x - mean) r weight + bias, r = 1 / sqrt(variance + EPSILON), in two passes
// over a row that is held; without CENTRED the mean is 0, which is root mean square norm. Gradient:
// with n = (x - mean) r and h = g weight, dx = r (h - mean(h) - n mean(h n)), and over all rows
// dweight = sum g n, dbias = sum g.
//
// Shapes: x, y, g, dx are ROWS x WIDTH; means and reciprocals ROWS; weight and bias and their gradients
// WIDTH, read only with WEIGHT and BIAS. Accumulates in f32; overwrites its outputs.
// Floor: 8 bytes an element forward, 12 backward.
//
// One of two entries is compiled; in each a team of threads takes a row (rows.cuh):
// layer_norm: without GRADIENTS.
// layer_norm_gradient: GRADIENTS is 1, 2 with dweight, 3 with dbias too. Blocks leave their sums of
// those in scratch memory; the last of each of SETS sets of blocks adds up the set's, and the last
// set's block those of all sets.

//@ rows.cuh

#if !GRADIENTS

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<1>)
    layer_norm(const Live* live, const float* x, const float* weight, const float* bias, float* y,
               float* means, float* reciprocals) {
    __shared__ __align__(16) float partial[2][WARPS];
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        Row<1> row(team, {x});
        float mean = 0.0f, squares = 0.0f;
        if constexpr (CENTRED) {
            row.each([&](float (&v)[1][VECTOR], u32, int) {
#pragma unroll
                for (int k = 0; k < VECTOR; k++) mean += v[0][k];
            });
            mean = team.sum(mean) / WIDTH;
        }
        row.each([&](float (&v)[1][VECTOR], u32, int) {
#pragma unroll
            for (int k = 0; k < VECTOR; k++) squares += (v[0][k] - mean) * (v[0][k] - mean);
        });
        const float reciprocal = 1.0f / sqrtf(team.sum(squares) / WIDTH + EPSILON);
        const bool writes = team.has_row();
        float* out = y + team.row() * WIDTH;
        row.each([&](float (&v)[1][VECTOR], u32 i, int) {
            float w[VECTOR], b[VECTOR], result[VECTOR];
            if constexpr (WEIGHT) load<VECTOR>(w, weight, i);
            if constexpr (BIAS) load<VECTOR>(b, bias, i);
#pragma unroll
            for (int k = 0; k < VECTOR; k++) {
                result[k] = (v[0][k] - mean) * reciprocal;
                if constexpr (WEIGHT) result[k] *= w[k];
                if constexpr (BIAS) result[k] += b[k];
            }
            if (writes) store<VECTOR>(out, i, result);
        });
        if (team.leads()) {
            if constexpr (CENTRED) means[team.row()] = mean;
            reciprocals[team.row()] = reciprocal;
        }
    }
}

#else

// n and g weight in place of x and g.
DEVICE void normalise(float (&v)[2][VECTOR], const float* weight, u32 i, float mean, float reciprocal) {
    float w[VECTOR];
    if constexpr (WEIGHT) load<VECTOR>(w, weight, i);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) {
        v[0][k] = (v[0][k] - mean) * reciprocal;
        if constexpr (WEIGHT) v[1][k] *= w[k];
    }
}

#if GRADIENTS > 1

constexpr int PARAMETERS = GRADIENTS - 1;
constexpr int HELD = Row<2>::HELD;
constexpr u32 LENGTH = PARAMETERS * WIDTH;
static_assert(TEAM > 32 || HELD == GROUPS);

// A thread's part of the gradients of the parameters: in registers for groups that are kept, in its
// block's place in scratch memory for others, which only a block that is one team has.
struct Part {
    float held[HELD][PARAMETERS][VECTOR];
    float* own;
    bool begun;

    DEVICE explicit Part(float* block) : held{}, own(block), begun(false) {}

    DEVICE void add(int k, u32 i, const float (&v)[2][VECTOR], float mean, float reciprocal) {
        float rest[PARAMETERS][VECTOR] = {};
        if (k < 0 && begun)
            for (int p = 0; p < PARAMETERS; p++) load<VECTOR>(rest[p], own, p * WIDTH + i);
        float(&sums)[PARAMETERS][VECTOR] = k < 0 ? rest : held[k < 0 ? 0 : k];
#pragma unroll
        for (int e = 0; e < VECTOR; e++) {
            sums[0][e] += v[1][e] * ((v[0][e] - mean) * reciprocal);
            if constexpr (PARAMETERS > 1) sums[PARAMETERS - 1][e] += v[1][e];
        }
        if (k < 0)
            for (int p = 0; p < PARAMETERS; p++) store<VECTOR>(own, p * WIDTH + i, rest[p]);
    }

    // Adds those of the block's teams in order, and leaves the block's in its place.
    DEVICE void leave(u32 team, u32 lane) {
        __shared__ float joined[TEAM > 32 ? 1 : LENGTH];
        for (u32 turn = 0; turn < THREADS / TEAM; turn++) {
            __syncthreads();
            if (team != turn) continue;
#pragma unroll
            for (int k = 0; k < HELD; k++) {
                const u32 i = (k * TEAM + lane) * VECTOR;
                if (!Row<2>::present(k, i)) continue;
#pragma unroll
                for (int e = 0; e < PARAMETERS * VECTOR; e++) {
                    const u32 at = e / VECTOR * WIDTH + i + e % VECTOR;
                    const float sum = held[k][e / VECTOR][e % VECTOR];
                    if constexpr (TEAM > 32) own[at] = sum;
                    else joined[at] = turn == 0 ? sum : joined[at] + sum;
                }
            }
        }
        __syncthreads();
        if constexpr (TEAM <= 32)
            for (u32 i = threadIdx.x; i < LENGTH; i += THREADS) own[i] = joined[i];
        for (u32 i = (HELD * TEAM + lane) * VECTOR; !begun && i < WIDTH; i += SPAN)
            for (int e = 0; e < PARAMETERS * VECTOR; e++) own[e / VECTOR * WIDTH + i + e % VECTOR] = 0.0f;
    }
};

// Element i of the sum of parts first, first + step, ... before `end`.
DEVICE float sum_of_parts(const float* parts, u32 i, u32 first, u32 step, u32 end) {
    float sum = 0.0f;
    for (u32 part = first; part < end; part += step)
        sum += *(const volatile float*)(parts + (index_t)part * LENGTH + i);
    return sum;
}

// Adds up what all blocks have left, after each has.
DEVICE void join_parts(float* parts, u32* tickets, float* dweight, float* dbias) {
    const u32 blocks = gridDim.x, sets = blocks < SETS ? blocks : SETS, set = blockIdx.x % sets;
    if (!is_last(tickets + set, (blocks - set + sets - 1) / sets)) return;
    float* of_sets = parts + (index_t)blocks * LENGTH;
    for (u32 i = threadIdx.x; i < LENGTH; i += THREADS)
        of_sets[(index_t)set * LENGTH + i] = sum_of_parts(parts, i, set, sets, blocks);
    if (!is_last(tickets + SETS, sets)) return;
    for (u32 i = threadIdx.x; i < LENGTH; i += THREADS)
        (i < WIDTH ? dweight + i : dbias + (i - WIDTH))[0] = sum_of_parts(of_sets, i, 0, 1, sets);
}

#endif

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<2 * GRADIENTS>)
    layer_norm_gradient(const Live* live, const float* x, const float* means,
                        const float* reciprocals, const float* g, const float* weight, float* dx
#if GRADIENTS > 1
                        , float* dweight, float* dbias, float* parts, u32* tickets
#endif
    ) {
    __shared__ __align__(16) float partial[2][WARPS];
#if GRADIENTS > 1
    Part part(parts + (index_t)blockIdx.x * LENGTH);
#endif
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        float mean = 0.0f;
        if constexpr (CENTRED) mean = means[team.row()];
        const float reciprocal = reciprocals[team.row()];
        const bool writes = team.has_row();
        Row<2> row(team, {x, g});
        float offset = 0.0f, slope = 0.0f;
        row.each([&](float (&v)[2][VECTOR], u32 i, int k) {
#if GRADIENTS > 1
            if (writes) part.add(k, i, v, mean, reciprocal);
#endif
            normalise(v, weight, i, mean, reciprocal);
#pragma unroll
            for (int e = 0; e < VECTOR; e++) {
                offset += v[1][e];
                slope += v[1][e] * v[0][e];
            }
        });
#if GRADIENTS > 1
        part.begun = true;
#endif
        offset = CENTRED ? team.sum(offset) / WIDTH : 0.0f;
        slope = team.sum(slope) / WIDTH;
        float* out = dx + team.row() * WIDTH;
        row.each([&](float (&v)[2][VECTOR], u32 i, int k) {
            if (k < 0) normalise(v, weight, i, mean, reciprocal);
            float result[VECTOR];
#pragma unroll
            for (int e = 0; e < VECTOR; e++)
                result[e] = reciprocal * (v[1][e] - offset - v[0][e] * slope);
            if (writes) store<VECTOR>(out, i, result);
        });
    }
#if GRADIENTS > 1
    part.leave(threadIdx.x / TEAM, threadIdx.x % TEAM);
    join_parts(parts, tickets, dweight, dbias);
#endif
}

#endif
