#include "quick.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "timer.h"

namespace tmx::bench {

int run_quick(const quick_options & options) {
    // Two groups of heads are enough to see a group's reuse of its K/V tiles, and keep the loop short.
    layer_shape shape = options.shape;
    const int64_t group = shape.n_head / shape.n_head_kv;
    shape.n_head_kv = std::min<int64_t>(shape.n_head_kv, 2);
    shape.n_head = group * shape.n_head_kv;

    std::vector<cpu_kernel_info> kernels = cpu_kernels();
    std::erase_if(kernels,
                  [&](const cpu_kernel_info & k) { return !options.kernel.empty() && options.kernel != k.name; });
    if (kernels.empty()) {
        fmt::print(stderr, "no kernel named {} runs on this CPU\n", options.kernel);
        return 1;
    }
    layer_data layer(shape, options.n);
    fmt::print("{}: {}/{} heads of {}, {} tokens, 1 thread, CPU time, {} repeats\n", shape.model, shape.n_head,
               shape.n_head_kv, shape.dim, options.n, options.repeats);
    fmt::print("{:<14}{:<8}{:<10}{:>12}{:>12}{:>12}\n", "kernel", "prec.", "mode", "median ms", "GFLOP/s", "best");
    for (const cpu_kernel_info & kernel : kernels) {
        for (const precision arithmetic : {precision::exact, precision::fast}) {
            if (arithmetic == precision::fast && !kernel.fast) {
                continue;
            }
            cpu_context ctx;
            ctx.kernel = kernel.name;
            ctx.arithmetic = arithmetic;
            for (const layer_mode mode : {layer_mode::dense, layer_mode::triangle}) {
                std::vector<double> seconds;
                for (int repeat = -1; repeat < options.repeats; ++repeat) {  // the first one warms up
                    const double begin = thread_seconds();
                    const status result = layer.run(mode, 0, options.n, ctx);
                    const double used = thread_seconds() - begin;
                    if (!result.ok()) {
                        fmt::print(stderr, "{} {}: {}\n", kernel.name, name_of(arithmetic), result.message());
                        return 1;
                    }
                    if (repeat >= 0) {
                        seconds.push_back(used);
                    }
                }
                const double gflop = layer.flops(mode, 0, options.n) * 1e-9;
                fmt::print("{:<14}{:<8}{:<10}{:>12.2f}{:>12.1f}{:>12.1f}\n", kernel.name, name_of(arithmetic),
                           name_of(mode), median(seconds) * 1e3, gflop / median(seconds),
                           gflop / *std::min_element(seconds.begin(), seconds.end()));
                std::fflush(stdout);
            }
        }
    }
    return 0;
}

}  // namespace tmx::bench
