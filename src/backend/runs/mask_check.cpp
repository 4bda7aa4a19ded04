#include "backend/runs/mask_check.h"

#include <algorithm>
#include <exception>

#include "backend/runs/mask_rows.h"

namespace tmx {

bool mask_confirms(const ubatch_view & view, const ubatch_runs & found, int64_t part, int64_t n_parts) {
    int64_t n_rows = 0;
    for (const causal_run & run : found.runs) {
        n_rows += run.rows();
    }
    const int64_t begin = part * n_rows / n_parts;
    const int64_t end = (part + 1) * n_rows / n_parts;
    int64_t before = 0;  // rows of the runs so far
    for (const causal_run & run : found.runs) {
        const int64_t first = std::max(run.row_begin + 1, run.row_begin + begin - before);
        const int64_t last = std::min(run.row_end, run.row_begin + end - before);
        for (int64_t row = first; row < last; ++row) {
            const int64_t cell = run.cell_of(run.rank_begin + row - run.row_begin);
            if (!adds_only(cell, view.mask_row(run.stream, row), view.mask_row(run.stream, row - 1), view.n_kv)) {
                return false;
            }
        }
        before += run.rows();
    }
    return true;
}

mask_check::mask_check(const ubatch_view & view, const ubatch_runs & found, int n_threads)
    : view_(view), found_(found) {
    constexpr int64_t k_part_bytes = 8 << 20;  // a millisecond or two of one core; waking a thread takes 1% of that
    constexpr int64_t k_most_threads = 16;     // more gain nothing: the memory's bandwidth is used up
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
