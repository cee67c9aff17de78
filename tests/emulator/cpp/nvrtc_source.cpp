// Reads a kernel's source as text: finds the kernels and the dynamic shared arrays.
#include <algorithm>
#include <cctype>
#include <cstring>

#include "nvrtc.h"

namespace {

// The source with comments and literals' contents turned into spaces, offsets kept.
std::string blanked(const std::string &text) {
  std::string out = text;
  for (size_t i = 0; i < text.size();) {
    size_t end = i + 1;
    bool blank = false;
    if (text.compare(i, 2, "//") == 0) {
      end = text.find('\n', i);
      blank = true;
    } else if (text.compare(i, 2, "/*") == 0) {
      end = text.find("*/", i + 2);
      if (end != std::string::npos) end += 2;
      blank = true;
    }
    if (end > text.size()) end = text.size();
    for (size_t j = i; blank && j < end; j++)
      if (text[j] != '\n') out[j] = ' ';
    i = end;
  }
  return out;
}

bool is_word(char c) { return isalnum(static_cast<unsigned char>(c)) || c == '_'; }

size_t skip_space(const std::string &text, size_t at) {
  while (at < text.size() && isspace(static_cast<unsigned char>(text[at]))) at++;
  return at;
}

size_t word_end(const std::string &text, size_t at) {
  while (at < text.size() && is_word(text[at])) at++;
  return at;
}

// Just past the bracket that closes the one at `open`.
size_t closing(const std::string &text, size_t open) {
  int depth = 0;
  for (size_t i = open; i < text.size(); i++) {
    if (text[i] == '(') depth++;
    if (text[i] == ')' && --depth == 0) return i + 1;
  }
  return text.size();
}

struct Kernel {
  std::string name, bounds;
};

// Kernels declared as `__global__ ... name(`, the arguments of `__launch_bounds__` with them.
// Templates are passed over: their instances have no plain name.
std::vector<Kernel> kernels(const std::string &code) {
  std::vector<Kernel> found;
  for (size_t at = code.find("__global__"); at != std::string::npos; at = code.find("__global__", at + 1)) {
    size_t before = code.find_last_of(";}{", at);
    std::string head = code.substr(before == std::string::npos ? 0 : before + 1, at - before - 1);
    size_t line = code.rfind('\n', at);
    bool directive = code[skip_space(code, line == std::string::npos ? 0 : line)] == '#';
    if (directive || head.find("template") != std::string::npos) continue;
    Kernel kernel;
    size_t i = at + strlen("__global__");
    while (i < code.size()) {
      i = skip_space(code, i);
      size_t end = word_end(code, i);
      if (end == i) break;
      std::string word = code.substr(i, end - i);
      i = skip_space(code, end);
      if (i >= code.size() || code[i] != '(') continue;
      size_t close = closing(code, i);
      if (word == "__launch_bounds__") {
        kernel.bounds = code.substr(i + 1, close - i - 2);
        i = close;
        continue;
      }
      kernel.name = word;
      break;
    }
    bool seen = kernel.name.empty();
    for (const Kernel &other : found) seen = seen || other.name == kernel.name;
    if (!seen) found.push_back(kernel);
  }
  return found;
}

// `extern __shared__ [__align__(n)] T name[];` becomes a pointer to the block's dynamic memory.
std::string rewrite_dynamic(std::string source) {
  for (;;) {
    std::string code = blanked(source);
    size_t at = 0, shared = std::string::npos;
    while ((at = code.find("extern", at)) != std::string::npos) {
      shared = skip_space(code, at + 6);
      if (code.compare(shared, 10, "__shared__") == 0) break;
      at++;
    }
    if (at == std::string::npos) return source;
    size_t semicolon = code.find(';', shared), bracket = code.rfind('[', semicolon);
    if (semicolon == std::string::npos || bracket == std::string::npos || bracket < shared) return source;
    std::string type = code.substr(shared + 10, bracket - shared - 10);
    size_t align = type.find("__align__");
    if (align != std::string::npos) type.erase(align, closing(type, type.find('(', align)) - align);
    while (!type.empty() && isspace(static_cast<unsigned char>(type.back()))) type.pop_back();
    size_t name = type.size();
    while (name > 0 && is_word(type[name - 1])) name--;
    std::string array = type.substr(name);
    type.resize(name);
    std::string lines(static_cast<size_t>(std::count(code.begin() + static_cast<long>(at),
                                                     code.begin() + static_cast<long>(semicolon), '\n')), '\n');
    source.replace(at, semicolon - at, "EMULATOR_DYNAMIC_SHARED(" + type + ", " + array + ")" + lines);
  }
}

}  // namespace

std::string host_source(const std::string &source, const std::string &name,
                        const std::vector<std::string> &defines) {
  std::string out = "#include \"shim.h\"\n#include \"shim_entry.h\"\n", entries;
  for (const std::string &define : defines) {
    size_t equals = define.find('=');
    bool bare = equals == std::string::npos;
    out += "#define " + define.substr(0, equals) + " " + (bare ? "1" : define.substr(equals + 1)) + "\n";
  }
  out += "namespace emulator_source {\n";
  for (const Kernel &kernel : kernels(blanked(source))) {
    out += "static EmulatorAbsent " + kernel.name + " __attribute__((unused));\n";
    entries += "  EMULATOR_ENTRY(" + kernel.name + (kernel.bounds.empty() ? "" : ", " + kernel.bounds) + ")\n";
  }
  // In a namespace without a name nothing is shared between instances, and unused functions cost nothing.
  out += "namespace kernels { namespace {\n#line 1 \"" + name + "\"\n" + rewrite_dynamic(source) + "\n}\n";
  return out + "#line 1 \"entries\"\nEMULATOR_TABLE(\n" + entries + ")\n} }\n";
}
