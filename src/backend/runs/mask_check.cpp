#include "backend/runs/mask_check.h"

#include <algorithm>
#include <exception>

namespace tmx {

mask_check::mask_check(const ubatch_view & view, const ubatch_runs & found, int n_threads)
    : view_(view), found_(found) {
    constexpr int64_t k_part_bytes = 8 << 20;  // a millisecond or two of one core; waking a thread takes 1% of that
    constexpr int64_t k_most_threads = 8;      // they share the memory's bandwidth with the host's own work
    const int64_t bytes = view.n_stream * view.n_rows * view.n_kv * static_cast<int64_t>(sizeof(uint16_t));
    n_parts_ = std::clamp<int64_t>(bytes / k_part_bytes, 1, std::clamp<int64_t>(n_threads, 1, k_most_threads));
    try {
        threads_.reserve(static_cast<size_t>(n_parts_));
        for (; n_started_ < n_parts_; ++n_started_) {
            threads_.emplace_back([this, part = n_started_] { read_part(part); });
        }
    } catch (const std::exception &) {  // no more threads, or no memory for one: what is left is read by passed()
    }
}

void mask_check::read_part(int64_t part) noexcept {
    if (!mask_confirms(view_, found_, part, n_parts_)) {
        confirmed_.store(false, std::memory_order_relaxed);
    }
}

bool mask_check::passed() {
    for (; n_started_ < n_parts_; ++n_started_) {
        read_part(n_started_);
    }
    wait();
    return confirmed_.load(std::memory_order_relaxed);
}

void mask_check::wait() {
    for (std::thread & thread : threads_) {
        thread.join();
    }
    threads_.clear();
}

}  // namespace tmx
