// y = x, both f32 [64]; overwrites.
// The planted fault: a counter is asked for and the one after it is written, the word past the end of the memory.
//   overrun: one block of 64 threads
extern "C" __global__ void __launch_bounds__(64) overrun(const float* x, float* y, u32* tickets) {
  y[threadIdx.x] = x[threadIdx.x];
  if (threadIdx.x == 0) tickets[1] = 0;
}
