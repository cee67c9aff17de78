// What the stand-in NVRTC appends after a kernel's source: one entry for each kernel, which unpacks
// the launch's argument pointers by the kernel's own C++ signature, and the module's table.
#pragma once

template <int... I> struct EmulatorIndices {};
template <int N, int... I> struct EmulatorCount : EmulatorCount<N - 1, N - 1, I...> {};
template <int... I> struct EmulatorCount<0, I...> { typedef EmulatorIndices<I...> Type; };
template <class T> struct EmulatorIsPointer { static constexpr bool value = false; };
template <class T> struct EmulatorIsPointer<T *> { static constexpr bool value = true; };
template <class T> struct EmulatorPlain { typedef T Type; };
template <class T> struct EmulatorPlain<const T> { typedef T Type; };

template <class F, F kernel> struct EmulatorCall;
template <class... A, void (*kernel)(A...)> struct EmulatorCall<void (*)(A...), kernel> {
  template <int... I> static void unpack(void **arguments, EmulatorIndices<I...>) {
    (void)arguments;
    kernel(*static_cast<typename EmulatorPlain<A>::Type *>(arguments[I])...);
  }
  static void call(void **arguments) {
    unpack(arguments, typename EmulatorCount<sizeof...(A)>::Type());
  }
  static EmulatorKernel entry(const char *name, int bound) {
    static const int sizes[] = {static_cast<int>(sizeof(A))..., 0};
    static const bool pointers[] = {EmulatorIsPointer<typename EmulatorPlain<A>::Type>::value...,
                                    false};
    return {name, call, static_cast<int>(sizeof...(A)), sizes, pointers, bound};
  }
};

// A name in the text that the preprocessor has left out stands for one of these: no kernel.
struct EmulatorAbsent {};
template <EmulatorAbsent *absent> struct EmulatorCall<EmulatorAbsent *, absent> {
  static EmulatorKernel entry(const char *, int) { return {nullptr, nullptr, 0, nullptr, nullptr, 0}; }
};

inline int emulator_bound(int threads = 0, int = 0, int = 0) { return threads; }
#define EMULATOR_ENTRY(name, ...)                                                             \
  EmulatorCall<decltype(&name), &name>::entry(#name, emulator_bound(__VA_ARGS__)),

// The linker's names for the ends of the section; weak, since a module may have no shared memory.
extern "C" __attribute__((weak, visibility("hidden"))) char __start_emulator_shared[];
extern "C" __attribute__((weak, visibility("hidden"))) char __stop_emulator_shared[];
#define EMULATOR_TABLE(...)                                                                   \
  static const EmulatorKernel emulator_kernels[] = {__VA_ARGS__{nullptr, nullptr, 0, nullptr, nullptr, 0}}; \
  EMULATOR_EXPORT const EmulatorModule emulator_module;                                       \
  const EmulatorModule emulator_module = {                                                    \
      EMULATOR_VERSION, emulator_kernels,                                                     \
      static_cast<int>(sizeof(emulator_kernels) / sizeof(EmulatorKernel)) - 1,                \
      __start_emulator_shared, __stop_emulator_shared};
