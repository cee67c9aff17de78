// Coroutines by hand: a stack each, and a switch that saves only what a call must keep. A switch
// costs about two nanoseconds, where `swapcontext` costs a system call.
#pragma once
#include <cstdint>

// Saves the running stack pointer at `save` and goes on where `load` was saved.
extern "C" void emulator_switch(void **save, void *load);
asm(R"(
  .text
  .p2align 4
  .hidden emulator_switch
  .globl emulator_switch
  .type emulator_switch, @function
emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size emulator_switch, . - emulator_switch
)");

// A stack that begins at `main` when it is first switched to; `main` never returns.
inline void *prepare_stack(char *stack, size_t bytes, void (*main)()) {
  uintptr_t top = (reinterpret_cast<uintptr_t>(stack) + bytes) & ~static_cast<uintptr_t>(15);
  void **at = reinterpret_cast<void **>(top);
  *--at = nullptr;                          // no caller
  *--at = reinterpret_cast<void *>(main);   // `ret` goes here, with the stack as after a call
  for (int i = 0; i < 6; i++) *--at = nullptr;
  return at;
}
