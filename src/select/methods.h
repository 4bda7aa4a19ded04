// The table of methods, and what their functions look like. To add one: a row in methods.cpp, a file a device, and
// their two declarations here.
#pragma once

#include <cstdint>
#include <span>

#include "trianglemix/selection.h"

namespace tmx {

// What a method's CPU function is given: one segment, checked. `bits` is all 0; the caller adds mandatory_bits().
struct cpu_selection_call {
    const attention_args & args;
    const attention_segment & segment;
    int32_t n_threads;
};

struct method_row {
    selection_method about;
    bool sees_sizes_only;  // its bits do not depend on Q and K
    status (*on_cpu)(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits);
    // Null in builds without CUDA. Must set mandatory_bits(), too.
    status (*on_cuda)(const selection_rule & rule, const cuda_selection_call & call);
    // Null: it needs no workspace.
    int64_t (*cuda_workspace_bytes)(const selection_rule & rule, const attention_args & args,
                                    std::span<const cuda_selected_rows> rows);
};

// REQUIRES a method that exists.
const method_row & row_of_method(int32_t method);

status select_stride(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits);
status cuda_select_stride(const selection_rule & rule, const cuda_selection_call & call);

}  // namespace tmx
