// A list of kernels that are compiled for several instruction sets, best first; those this CPU cannot run included.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tmx::cpu_base {

constexpr int64_t k_any_cpu = 0;  // a kernel's highway_target that every CPU has

template <class kernel>
struct kernel_list {
    const kernel * begin_;
    size_t size_;
    const kernel * begin() const { return begin_; }
    const kernel * end() const { return begin_ + size_; }
};

// Whether a CPU with these hwy::SupportedTargets() has `highway_target`, one of their bits or k_any_cpu, and what
// `available` asks for beyond that; null: nothing.
inline bool cpu_has(int64_t supported_targets, int64_t highway_target, bool (*available)()) {
    const bool has_target = highway_target == k_any_cpu || (supported_targets & highway_target) != 0;
    return has_target && (available == nullptr || available());
}

}  // namespace tmx::cpu_base
