// Short or many rows: a part of kernels/reduce.cu. An element is used once, so none stays in registers.

//@ rows.cuh

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS<0>)
    reduce_rows(const Live* live, const float* x, float* y) {
    __shared__ __align__(16) float partial[2][WARPS];
    for (Team team(partial, SIZE(ROWS)); team.goes_on(); team.next()) {
        Row<1> row(team, {x});
        float lanes[VECTOR];
#pragma unroll
        for (int k = 0; k < VECTOR; k++) lanes[k] = start();
        row.each([&](float (&v)[1][VECTOR], u32, int) {
#pragma unroll
            for (int k = 0; k < VECTOR; k++) lanes[k] = join(lanes[k], map(v[0][k]));
        });
#pragma unroll
        for (int k = 1; k < VECTOR; k++) lanes[0] = join(lanes[0], lanes[k]);
        const float result = REDUCTION == MAX ? team.max(lanes[0]) : team.sum(lanes[0]);
        if (team.leads()) y[team.row()] = finish(result, WIDTH);
    }
}
