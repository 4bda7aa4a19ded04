// The memory behind a cpu_context: one aligned block a thread, grown on demand and kept between calls.
#pragma once

#include <span>
#include <vector>

#include "cpu_base/scratch_block.h"
#include "kernels/cpu/kernel_args.h"

namespace tmx {

struct cpu_context::scratch {
    // Room for n_contexts threads at once. Throws std::bad_alloc; then the scratch is as it was.
    void reserve(const attention_args & args, std::span<const cpu::work_item> items, int n_contexts);

    const cpu::thread_scratch & of_thread(int thread) const { return threads_[static_cast<size_t>(thread)]; }

  private:
    cpu_base::scratch_block block_;
    std::vector<cpu::thread_scratch> threads_;
};

}  // namespace tmx
