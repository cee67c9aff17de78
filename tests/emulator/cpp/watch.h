// What the thread sanitizer is told of coroutines: which one runs, and who has waited for whom. The
// emulator itself is not built with it, only the program that runs recorded launches again.
#pragma once

#ifdef EMULATOR_WATCHED
#include <sanitizer/tsan_interface.h>

// A switch orders nothing by itself, so only barriers and collectives do.
inline void *watch_new() { return __tsan_create_fiber(0); }
inline void *watch_self() { return __tsan_get_current_fiber(); }
inline void watch_switch(void *to) { __tsan_switch_to_fiber(to, __tsan_switch_to_fiber_no_sync); }
inline void watch_arrive(char *mark) { __tsan_release(mark); }
inline void watch_leave(char *mark) { __tsan_acquire(mark); }
// A thread's stack is no other's before the block has ended: they would seem to race for it.
constexpr bool STACKS_ARE_SHARED = false;
#else
inline void *watch_new() { return nullptr; }
inline void *watch_self() { return nullptr; }
inline void watch_switch(void *) {}
inline void watch_arrive(char *) {}
inline void watch_leave(char *) {}
constexpr bool STACKS_ARE_SHARED = true;
#endif
