// tested_kernels.h -- the kernels that the per_kernel tests run: all that this CPU has, or the one TMX_TEST_KERNEL
// names.
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "trianglemix/attention.h"

namespace tmx::test {

struct tested_kernel {
    const char * name = nullptr;
    precision arithmetic = precision::exact;

    std::string label() const { return std::string(name) + (arithmetic == precision::exact ? " exact" : " fast"); }
};

inline std::vector<tested_kernel> tested_kernels() {
    const char * only = std::getenv("TMX_TEST_KERNEL");
    std::vector<tested_kernel> result;
    for (const cpu_kernel_info & kernel : cpu_kernels()) {
        if (only != nullptr && *only != 0 && std::string_view(only) != kernel.name) {
            continue;
        }
        result.push_back({kernel.name, precision::exact});
        if (kernel.fast) {
            result.push_back({kernel.name, precision::fast});
        }
    }
    return result;
}

// One context for whatever kernel comes next, so that scratch left by one call meets another.
inline cpu_context & context_of(const tested_kernel & kernel) {
    static cpu_context context;
    context.kernel = kernel.name;
    context.arithmetic = kernel.arithmetic;
    context.n_threads = 2;
    return context;
}

}  // namespace tmx::test
