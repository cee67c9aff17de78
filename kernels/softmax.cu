// Softmax over rows: y = exp(x - m) / sum exp(x - m), or x - m - log sum exp(x - m) with LOG, where m
// is the row's largest element; and its gradient from y: dx = y (g - sum g y), or g - exp(y) sum g.
//
// Shapes: x, y, g, dx are ROWS x WIDTH. Accumulates in f32; overwrites its output.
// Floor: 8 bytes an element forward, 12 backward. See rows.cuh for how a row is held.
//
// softmax: a team of threads takes a row. softmax_gradient: the same.

//@ rows.cuh

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<1>)
    softmax(const Live* live, const float* x, float* y) {
    __shared__ __align__(16) float partial[2][WARPS];
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        Row<1> row(team, {x});
        float most = -INFINITE;
        row.each([&](float (&v)[1][VECTOR], u32, int) {
#pragma unroll
            for (int k = 0; k < VECTOR; k++) most = math::max(most, v[0][k]);
        });
        most = team.max(most);
        float sum = 0.0f;
        row.each([&](float (&v)[1][VECTOR], u32, int kept) {
#pragma unroll
            for (int k = 0; k < VECTOR; k++) {
                const float e = math::exp(v[0][k] - most);
                if (!LOG && kept >= 0) v[0][k] = e;
                sum += e;
            }
        });
        sum = team.sum(sum);
        const float scale = LOG ? math::log(sum) : 1.0f / sum;
        const bool writes = team.has_row();
        float* out = y + team.row() * WIDTH;
        row.each([&](float (&v)[1][VECTOR], u32 i, int kept) {
            float result[VECTOR];
#pragma unroll
            for (int k = 0; k < VECTOR; k++) {
                const float e = kept >= 0 || LOG ? v[0][k] : math::exp(v[0][k] - most);
                result[k] = LOG ? (e - most) - scale : e * scale;
            }
            if (writes) store<VECTOR>(out, i, result);
        });
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<2>)
    softmax_gradient(const Live* live, const float* y, const float* g, float* dx) {
    __shared__ __align__(16) float partial[2][WARPS];
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        Row<2> row(team, {y, g});
        float sum = 0.0f;
        row.each([&](float (&v)[2][VECTOR], u32, int) {
#pragma unroll
            for (int k = 0; k < VECTOR; k++) sum += LOG ? v[1][k] : v[1][k] * v[0][k];
        });
        sum = team.sum(sum);
        const bool writes = team.has_row();
        float* out = dx + team.row() * WIDTH;
        row.each([&](float (&v)[2][VECTOR], u32 i, int) {
            float result[VECTOR];
#pragma unroll
            for (int k = 0; k < VECTOR; k++) {
                const float y = v[0][k], g = v[1][k];
                result[k] = LOG ? g - math::exp(y) * sum : y * (g - sum);
            }
            if (writes) store<VECTOR>(out, i, result);
        });
    }
}
