// Reductions: y = sum, mean, maximum or sum of squares of x over a run of neighbouring axes.
//
// Shapes: x is OUTER x REDUCED x INNER, y is OUTER x INNER. Accumulates in f32, in an order that shapes
// and grid fix; a maximum is NaN if an element is. Overwrites y. Floor: x read once, 4 bytes an
// element; with PARTS blocks for one result, 8 bytes more for each partial result.
//
// One of three entries is compiled, each in a file of its own:
// reduce_rows: INNER is 1 and REDUCED is WIDTH: a team of threads takes a row.
// reduce_parts: INNER is 1: PARTS blocks take a row, the last to end joins their results.
// reduce_columns: ACROSS threads lie along VECTOR columns each, DOWN threads along REDUCED; PARTS
// blocks take the same columns, the last to end joins their results.

enum { SUM, MEAN, MAX, SUM_SQUARES };

DEVICE float start() { return REDUCTION == MAX ? -INFINITE : 0.0f; }
DEVICE float join(float a, float b) { return REDUCTION == MAX ? math::max(a, b) : a + b; }
DEVICE float map(float x) { return REDUCTION == SUM_SQUARES ? x * x : x; }
DEVICE float finish(float x, index_t count) { return REDUCTION == MEAN ? x / (float)count : x; }

// Joins groups first, first + stride, .. before `end`, of W elements each, `spacing` elements from one
// group to the next: UNROLL results for each element of a group, then a tree.
template <int W>
DEVICE void strided(float (&out)[W], const float* x, index_t first, index_t end, index_t stride,
                    index_t spacing) {
    constexpr int UNROLL = 4;
    float lanes[UNROLL][W];
#pragma unroll
    for (int u = 0; u < UNROLL; u++)
#pragma unroll
        for (int k = 0; k < W; k++) lanes[u][k] = start();
    index_t i = first;
    for (; i + (UNROLL - 1) * stride < end; i += UNROLL * stride) {
        float v[UNROLL][W];
#pragma unroll
        for (int u = 0; u < UNROLL; u++) load<W>(v[u], x, (i + u * stride) * spacing);
#pragma unroll
        for (int u = 0; u < UNROLL; u++)
#pragma unroll
            for (int k = 0; k < W; k++) lanes[u][k] = join(lanes[u][k], map(v[u][k]));
    }
#pragma unroll
    for (int u = 0; u < UNROLL - 1; u++) {
        if (i + u * stride >= end) break;
        float v[W];
        load<W>(v, x, (i + u * stride) * spacing);
#pragma unroll
        for (int k = 0; k < W; k++) lanes[u][k] = join(lanes[u][k], map(v[k]));
    }
#pragma unroll
    for (int k = 0; k < W; k++)
        out[k] = join(join(lanes[0][k], lanes[1][k]), join(lanes[2][k], lanes[3][k]));
}

//@ form
