// The stand-in NVRTC as one compile unit: the standard headers are read once.
#include "nvrtc_source.cpp"
#include "nvrtc_compile.cpp"
#include "nvrtc.cpp"
