// Softmax cross-entropy of rows of logits x: loss = sum t (lse - x), lse = log sum exp x; its gradient
// is dx = upstream (exp(x - lse) sum t - t). The target t = SHARE target + REST, where target is
// 1 at the row's label (HARD), or a row of its own. A label out of range makes loss and dx NaN.
//
// Shapes: x, dx, soft targets are ROWS x WIDTH; labels, losses, sums (lse), upstream are ROWS. Labels
// and soft targets are one buffer of either type.
// Accumulates in f32; overwrites its outputs.
// Floor: 4 bytes a logit forward, 8 backward, and 4 more for soft targets.
//
// softmax_cross_entropy: a team of threads takes a row (rows.cuh); soft targets are read once.
// softmax_cross_entropy_gradient: the same.

//@ rows.cuh

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<1>)
    softmax_cross_entropy(const Live* live, const float* x, const u32* labels, const float* soft,
                          float* losses, float* sums) {
    __shared__ __align__(16) float partial[2][WARPS];
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        Row<1> row(team, {x});
        float most = -INFINITE;
        row.each([&](float (&v)[1][VECTOR], u32, bool) {
#pragma unroll
            for (int k = 0; k < VECTOR; k++) most = math::max(most, v[0][k]);
        });
        most = team.max(most);
        float sum = 0.0f;
        row.each([&](float (&v)[1][VECTOR], u32, bool) {
#pragma unroll
            for (int k = 0; k < VECTOR; k++) sum += math::exp(v[0][k] - most);
        });
        const float lse = most + math::log(team.sum(sum));
        float chosen = 0.0f, all = 0.0f;
        row.each([&](float (&v)[1][VECTOR], u32 i, bool) {
            float t[VECTOR] = {};
            if constexpr (!HARD) load<VECTOR>(t, soft + team.row() * WIDTH, i);
#pragma unroll
            for (int k = 0; k < VECTOR; k++) {
                chosen += t[k] * (lse - v[0][k]);
                all += lse - v[0][k];
            }
        });
        if constexpr (HARD) {
            const u32 label = labels[team.row()];
            const bool inside = label < WIDTH;
            chosen = inside ? lse - x[team.row() * WIDTH + (inside ? label : 0)] : NOT_A_NUMBER;
        } else {
            chosen = team.sum(chosen);
        }
        float loss = SHARE * chosen;
        if constexpr (REST > 0.0f) loss += REST * team.sum(all);
        if (team.leads()) losses[team.row()] = loss, sums[team.row()] = lse;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<HARD ? 1 : 2>)
    softmax_cross_entropy_gradient(const Live* live, const float* x, const u32* labels,
                                   const float* soft, const float* sums, const float* upstream,
                                   float* dx) {
    __shared__ __align__(16) float partial[2][WARPS];
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        const index_t r = team.row();
        const float lse = sums[r], scale = upstream[r];
        const bool writes = team.has_row();
        float* out = dx + r * WIDTH;
        if constexpr (HARD) {
            const u32 label = labels[r];
            Row<1> row(team, {x});
            row.each([&](float (&v)[1][VECTOR], u32 i, bool) {
                float result[VECTOR];
#pragma unroll
                for (int k = 0; k < VECTOR; k++) {
                    const float other = scale * (math::exp(v[0][k] - lse) - REST);
                    const float d = label == i + k ? other - scale * SHARE : other;
                    result[k] = label < WIDTH ? d : NOT_A_NUMBER;
                }
                if (writes) store<VECTOR>(out, i, result);
            });
        } else {
            Row<2> row(team, {x, soft});
            float mass = 0.0f;
            row.each([&](float (&v)[2][VECTOR], u32, bool) {
#pragma unroll
                for (int k = 0; k < VECTOR; k++) mass += v[1][k];
            });
            mass = SHARE * team.sum(mass) + REST * WIDTH;
            row.each([&](float (&v)[2][VECTOR], u32 i, bool) {
                float result[VECTOR];
#pragma unroll
                for (int k = 0; k < VECTOR; k++) {
                    const float t = SHARE * v[1][k] + REST;
                    result[k] = scale * (math::exp(v[0][k] - lse) * mass - t);
                }
                if (writes) store<VECTOR>(out, i, result);
            });
        }
    }
}
