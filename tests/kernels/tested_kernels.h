// tested_kernels.h -- the kernels that the per_kernel tests run: all that this CPU has, the one that TMX_TEST_KERNEL
// names, or all but that of "-NAME".
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
    const char * variable = std::getenv("TMX_TEST_KERNEL");
    std::string_view name = variable != nullptr ? variable : "";
    const bool others = name.starts_with('-');
    name.remove_prefix(others ? 1 : 0);
    std::vector<tested_kernel> result;
    for (const cpu_kernel_info & kernel : cpu_kernels()) {
        if (!name.empty() && (name == kernel.name) == others) {
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
