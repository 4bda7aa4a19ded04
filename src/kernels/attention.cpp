// The public entry: checks arguments, picks the kernel, cuts the segments into work items, runs them on the host's
// threads.
#include "trianglemix/attention.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "kernels/cpu/kernel_args.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/work_split.h"
#include "kernels/validate.h"

namespace tmx {
namespace {

status choose_kernel(const cpu_context & ctx, const cpu::kernel ** chosen) noexcept {
    const bool fast = ctx.arithmetic == precision::fast;
    const cpu::kernel * named = nullptr;
    for (const cpu::kernel & k : cpu::all_kernels()) {
        if (ctx.kernel != nullptr && std::strcmp(ctx.kernel, k.name) != 0) {
            continue;
        }
        named = &k;
        if (cpu::runs_here(k) && (!fast || k.run_fast != nullptr)) {
            *chosen = &k;
            return {};
        }
    }
    if (ctx.kernel != nullptr && named == nullptr) {
        return status::error(status_code::invalid_argument, "kernel: no kernel named \"%s\" in this build", ctx.kernel);
    }
    if (ctx.kernel != nullptr && !cpu::runs_here(*named)) {
        return status::error(status_code::unsupported, "kernel: this CPU cannot run \"%s\"", ctx.kernel);
    }
    return status::error(status_code::unsupported, "precision: no kernel%s%s on this CPU multiplies bf16 natively",
                         ctx.kernel ? " named " : "", ctx.kernel ? ctx.kernel : "");
}

}  // namespace

cpu_context::cpu_context() noexcept = default;
cpu_context::~cpu_context() = default;

std::vector<cpu_kernel_info> cpu_kernels() {
    std::vector<cpu_kernel_info> list;
    for (const cpu::kernel & k : cpu::all_kernels()) {
        if (cpu::runs_here(k)) {
            list.push_back({k.name, k.run_fast != nullptr, k.run_fast != nullptr && k.fast_pays()});
        }
    }
    return list;
}

status attention_forward(const attention_args & args, std::span<const attention_segment> segments, cpu_context & ctx,
                         std::span<const block_lists> lists) noexcept try {
    if (status s = validate(args, segments, ctx); !s.ok()) {
        return s;
    }
    if (status s = validate_lists(args, segments, lists); !s.ok()) {
        return s;
    }
    const cpu::kernel * kernel = nullptr;
    if (status s = choose_kernel(ctx, &kernel); !s.ok()) {
        return s;
    }
    const cpu::work_split work = cpu::split_work(args, segments, lists);
    const std::vector<cpu::work_item> & items = work.items;
    if (items.empty()) {
        return {};
    }
    const int n_threads = static_cast<int>(std::min<int64_t>(ctx.n_threads, static_cast<int64_t>(items.size())));
    if (ctx.memory == nullptr) {
        ctx.memory = std::make_unique<cpu_context::scratch>();
    }
    ctx.memory->reserve(args, items, n_threads);

    const cpu::run_item_fn run = ctx.arithmetic == precision::fast ? kernel->run_fast : kernel->run_exact;
    const int64_t n_items = static_cast<int64_t>(items.size());
    const cpu_context::scratch & scratch = *ctx.memory;
    int64_t visited = 0;
    int64_t skipped = 0;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic, 1) default(none) \
    shared(args, segments, items, n_items, scratch, run) reduction(+ : visited, skipped)
    for (int64_t i = 0; i < n_items; ++i) {
        const cpu::work_item & item = items[static_cast<size_t>(i)];
        const skip_counts counts =
            run(args, segments[static_cast<size_t>(item.place.segment)], item, scratch.of_thread(omp_get_thread_num()));
        visited += counts.visited;
        skipped += counts.skipped;
    }
    if (args.skip_factor > 0 && args.skips != nullptr) {
        args.skips->visited += visited;
        args.skips->skipped += skipped;
    }
    return {};
} catch (const std::bad_alloc &) {
    return status::error(status_code::out_of_memory, "no memory for the scratch of %d threads", ctx.n_threads);
}

}  // namespace tmx
