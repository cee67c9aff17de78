// Softmax cross-entropy of rows of logits x: loss = sum t (lse - x), lse = log sum exp x; its gradient
// is dx = upstream (exp(x - lse) sum t - t). The target t = SHARE target + REST, where target is
// 1 at the row's label (HARD), or a row of its own. A label out of range makes loss and dx NaN.
//
// Shapes: x, dx, soft targets are ROWS x WIDTH; labels, losses, sums (lse), upstream are ROWS. Labels
// and soft targets are one buffer of either type.
// Accumulates in f32; overwrites its outputs.
// Floor: 4 bytes a logit forward, 8 backward or for both, and 4 more for soft targets.
//
// One of three entries is compiled; in each a team of threads takes a row (rows.cuh):
// softmax_cross_entropy: with LOSS.
// softmax_cross_entropy_gradient: with GRADIENT.
// softmax_cross_entropy_with_gradient: with both: dx, and the sum of upstream loss over all rows, which
// the last block to end adds up in an order that the grid fixes; upstream is one value unless BY_ROW.

//@ rows.cuh

constexpr int ARRAYS = HARD ? 1 : 2;
typedef Row<ARRAYS> Logits;

// A row of the logits, and of soft targets beside them.
template <int N> DEVICE Row<N> held(const Team& team, const float* x, const float* soft) {
    if constexpr (N == 1) return Row<N>(team, {x});
    else return Row<N>(team, {x, soft});
}

DEVICE float log_sum_exp(Team& team, Logits& row) {
    float most = -INFINITE;
    row.each([&](float (&v)[ARRAYS][VECTOR], u32, int) {
#pragma unroll
        for (int k = 0; k < VECTOR; k++) most = math::max(most, v[0][k]);
    });
    most = team.max(most);
    float sum = 0.0f;
    row.each([&](float (&v)[ARRAYS][VECTOR], u32, int) {
#pragma unroll
        for (int k = 0; k < VECTOR; k++) sum += math::exp(v[0][k] - most);
    });
    return most + math::log(team.sum(sum));
}

DEVICE float row_loss(Team& team, Logits& row, const float* x, const u32* labels, float lse) {
    float chosen = 0.0f, all = 0.0f;
    row.each([&](float (&v)[ARRAYS][VECTOR], u32, int) {
#pragma unroll
        for (int k = 0; k < VECTOR; k++) {
            chosen += HARD ? 0.0f : v[ARRAYS - 1][k] * (lse - v[0][k]);
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
    return loss;
}

DEVICE void write_gradient(Team& team, Logits& row, const u32* labels, float lse, float upstream,
                           float* dx) {
    const bool writes = team.has_row();
    float* out = dx + team.row() * WIDTH;
    if constexpr (HARD) {
        const u32 label = labels[team.row()];
        row.each([&](float (&v)[ARRAYS][VECTOR], u32 i, int) {
            float result[VECTOR];
#pragma unroll
            for (int k = 0; k < VECTOR; k++) {
                const float other = upstream * (math::exp(v[0][k] - lse) - REST);
                const float d = label == i + k ? other - upstream * SHARE : other;
                result[k] = label < WIDTH ? d : NOT_A_NUMBER;
            }
            if (writes) store<VECTOR>(out, i, result);
        });
    } else {
        float mass = 0.0f;
        row.each([&](float (&v)[ARRAYS][VECTOR], u32, int) {
#pragma unroll
            for (int k = 0; k < VECTOR; k++) mass += v[ARRAYS - 1][k];
        });
        mass = SHARE * team.sum(mass) + REST * WIDTH;
        row.each([&](float (&v)[ARRAYS][VECTOR], u32 i, int) {
            float result[VECTOR];
#pragma unroll
            for (int k = 0; k < VECTOR; k++) {
                const float t = SHARE * v[ARRAYS - 1][k] + REST;
                result[k] = upstream * (math::exp(v[0][k] - lse) * mass - t);
            }
            if (writes) store<VECTOR>(out, i, result);
        });
    }
}

#if LOSS && GRADIENT

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<ARRAYS>)
    softmax_cross_entropy_with_gradient(const Live* live, const float* x, const u32* labels,
                                        const float* soft, const float* upstream, float* total,
                                        float* dx, float* losses, u32* ticket) {
    __shared__ __align__(16) float partial[2][WARPS];
    __shared__ __align__(16) float joined[THREADS / 32];
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        Logits row = held<ARRAYS>(team, x, soft);
        const float lse = log_sum_exp(team, row), scale = upstream[BY_ROW ? team.row() : 0];
        const float loss = row_loss(team, row, x, labels, lse);
        if (team.leads()) losses[team.row()] = scale * loss;
        write_gradient(team, row, labels, lse, scale, dx);
    }
    if (!is_last(ticket, gridDim.x)) return;
    float sum = 0.0f;
    for (index_t i = threadIdx.x; i < SIZE(ROWS); i += THREADS)
        sum += *(const volatile float*)(losses + i);
    sum = block_sum<THREADS / 32>(sum, joined);
    if (threadIdx.x == 0) *total = sum;
}

#elif LOSS

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<ARRAYS>)
    softmax_cross_entropy(const Live* live, const float* x, const u32* labels, const float* soft,
                          float* losses, float* sums) {
    __shared__ __align__(16) float partial[2][WARPS];
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        Logits row = held<ARRAYS>(team, x, soft);
        const float lse = log_sum_exp(team, row), loss = row_loss(team, row, x, labels, lse);
        if (team.leads()) losses[team.row()] = loss, sums[team.row()] = lse;
    }
}

#else

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<ARRAYS>)
    softmax_cross_entropy_gradient(const Live* live, const float* x, const u32* labels,
                                   const float* soft, const float* sums, const float* upstream,
                                   float* dx) {
    __shared__ __align__(16) float partial[2][WARPS];
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        Logits row = held<ARRAYS>(team, x, soft);
        write_gradient(team, row, labels, sums[team.row()], upstream[team.row()], dx);
    }
}

#endif
