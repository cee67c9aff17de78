// Runs one block of threads as coroutines. Threads run one at a time, each until its next barrier,
// warp collective or end, in an order that tests choose.
#pragma once
#include <string>
#include <vector>

#include "interface.h"
#include "state.h"

struct BlockRun {
  const Launch *launch;
  unsigned long long number;   // of the block in the grid, for messages and the random order
  uint3 index;
  char *dynamic_shared;
};

// Whether a kernel's own code runs, which may be left at any point.
extern volatile bool in_kernel;
// Whether the launch has used up its time; defined in grid.cpp.
bool out_of_time();

// Runs all threads of the block to their end; leaves by `fail` otherwise.
void run_block(const BlockRun &block);

// Gives up the running launch with an error; defined in grid.cpp.
[[noreturn]] void fail(CUresult code, const std::string &text);

// A permutation of `count` numbers: 0 as they are, 1 reversed, else random from the seed.
void permute(std::vector<unsigned> &order, unsigned count, int kind, unsigned long long salt);
