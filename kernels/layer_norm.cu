// Layer norm over rows: y = (x - mean) r weight + bias, r = 1 / sqrt(variance + EPSILON), in two passes
// over a row that is held; without CENTRED the mean is 0, which is root mean square norm. Gradient:
// with n = (x - mean) r and h = g weight, dx = r (h - mean(h) - n mean(h n)).
//
// Shapes: x, y, g, dx are ROWS x WIDTH; means and reciprocals ROWS; weight and bias WIDTH, read only
// with WEIGHT and BIAS. Accumulates in f32; overwrites its outputs.
// Floor: 8 bytes an element forward, 12 backward.
//
// layer_norm: a team of threads takes a row (rows.cuh). layer_norm_gradient: the same.

//@ rows.cuh

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<1>)
    layer_norm(const Live* live, const float* x, const float* weight, const float* bias, float* y,
               float* means, float* reciprocals) {
    __shared__ __align__(16) float partial[2][WARPS];
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        Row<1> row(team, {x});
        float mean = 0.0f, squares = 0.0f;
        if constexpr (CENTRED) {
            row.each([&](float (&v)[1][VECTOR], u32, bool) {
#pragma unroll
                for (int k = 0; k < VECTOR; k++) mean += v[0][k];
            });
            mean = team.sum(mean) / WIDTH;
        }
        row.each([&](float (&v)[1][VECTOR], u32, bool) {
#pragma unroll
            for (int k = 0; k < VECTOR; k++) squares += (v[0][k] - mean) * (v[0][k] - mean);
        });
        const float reciprocal = 1.0f / sqrtf(team.sum(squares) / WIDTH + EPSILON);
        const bool writes = team.has_row();
        float* out = y + team.row() * WIDTH;
        row.each([&](float (&v)[1][VECTOR], u32 i, bool) {
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

// n and h in place of x and g.
DEVICE void normalise(float (&v)[2][VECTOR], const float* weight, u32 i, float mean, float reciprocal) {
    float w[VECTOR];
    if constexpr (WEIGHT) load<VECTOR>(w, weight, i);
#pragma unroll
    for (int k = 0; k < VECTOR; k++) {
        v[0][k] = (v[0][k] - mean) * reciprocal;
        if constexpr (WEIGHT) v[1][k] *= w[k];
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<2>)
    layer_norm_gradient(const Live* live, const float* x, const float* means,
                        const float* reciprocals, const float* g, const float* weight, float* dx) {
    __shared__ __align__(16) float partial[2][WARPS];
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        float mean = 0.0f;
        if constexpr (CENTRED) mean = means[team.row()];
        const float reciprocal = reciprocals[team.row()];
        Row<2> row(team, {x, g});
        float offset = 0.0f, slope = 0.0f;
        row.each([&](float (&v)[2][VECTOR], u32 i, bool) {
            normalise(v, weight, i, mean, reciprocal);
#pragma unroll
            for (int k = 0; k < VECTOR; k++) {
                offset += v[1][k];
                slope += v[1][k] * v[0][k];
            }
        });
        offset = CENTRED ? team.sum(offset) / WIDTH : 0.0f;
        slope = team.sum(slope) / WIDTH;
        const bool writes = team.has_row();
        float* out = dx + team.row() * WIDTH;
        row.each([&](float (&v)[2][VECTOR], u32 i, bool kept) {
            if (!kept) normalise(v, weight, i, mean, reciprocal);
            float result[VECTOR];
#pragma unroll
            for (int k = 0; k < VECTOR; k++)
                result[k] = reciprocal * (v[1][k] - offset - v[0][k] * slope);
            if (writes) store<VECTOR>(out, i, result);
        });
    }
}
