// What the functions of methods look like, and the table of them. To add a method: a row in known_methods.h and one in
// methods.cpp, a file a device, and their two declarations here.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "trianglemix/selection.h"

namespace tmx {

// What a method's CPU function is given: one segment, checked; q and k are there unless it sees sizes only. `bits` is
// all 0; the caller adds mandatory_bits(). A method that needs_rotary is given a layout that is known.
struct cpu_selection_call {
    const attention_args & args;
    const attention_segment & segment;
    int32_t n_threads;
    selection_options options;
};

struct method_row {
    std::string_view name;
    bool sees_sizes_only;  // its bits do not depend on Q and K
    status (*on_cpu)(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits);
    // Null in builds without CUDA, and of methods that have no CUDA form. Must set mandatory_bits(), too. CUDA
    // functions do not throw; only of this one exceptions are caught, should its host code run out of memory.
    status (*on_cuda)(const selection_rule & rule, const cuda_selection_call & call);
    // Null: it needs no workspace.
    int64_t (*cuda_workspace_bytes)(const selection_rule & rule, const attention_args & args,
                                    std::span<const cuda_selected_rows> rows) noexcept;
};

// REQUIRES a method that exists.
const method_row & row_of_method(int32_t method);

status select_stride(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits);
status select_means(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits);
status select_prism(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits);
status select_xattention(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits);
status select_flexprefill(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits);
status select_vertical_slash(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits);

status cuda_select_stride(const selection_rule & rule, const cuda_selection_call & call);
status cuda_select_means(const selection_rule & rule, const cuda_selection_call & call);
status cuda_select_prism(const selection_rule & rule, const cuda_selection_call & call);
status cuda_select_xattention(const selection_rule & rule, const cuda_selection_call & call);

int64_t cuda_means_workspace_bytes(const selection_rule & rule, const attention_args & args,
                                   std::span<const cuda_selected_rows> rows) noexcept;
int64_t cuda_prism_workspace_bytes(const selection_rule & rule, const attention_args & args,
                                   std::span<const cuda_selected_rows> rows) noexcept;
int64_t cuda_xattention_workspace_bytes(const selection_rule & rule, const attention_args & args,
                                        std::span<const cuda_selected_rows> rows) noexcept;
status cuda_select_flexprefill(const selection_rule & rule, const cuda_selection_call & call);
int64_t cuda_flexprefill_bytes(const selection_rule & rule, const attention_args & args,
                               std::span<const cuda_selected_rows> rows) noexcept;
status cuda_select_vertical_slash(const selection_rule & rule, const cuda_selection_call & call);
int64_t cuda_vertical_slash_bytes(const selection_rule & rule, const attention_args & args,
                                  std::span<const cuda_selected_rows> rows) noexcept;

}  // namespace tmx
