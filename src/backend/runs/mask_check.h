// Reads a ubatch's whole mask while the device already computes what find_runs_sampled() made of it (find_runs.h): 2
// bytes a pair, half a gigabyte for 2,048 rows over 128K keys, which nothing waits for.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "backend/runs/ubatch_runs.h"

namespace tmx {

// Whether every entry of the mask is as `found` says; the first row of each run is taken as checked. Looks at the
// mask's rows [part * n / n_parts, (part + 1) * n / n_parts) only, n being all rows of all runs.
// REQUIRES found was found from a mask of that shape and holds no masked rows; 0 <= part < n_parts.
// COST     2 bytes a pair.
bool mask_confirms(const ubatch_view & view, const ubatch_runs & found, int64_t part = 0, int64_t n_parts = 1);

class mask_check {
  public:
    // Starts reading on up to n_threads threads of its own. `view`'s mask and `found` must outlive this.
    mask_check(const ubatch_view & view, const ubatch_runs & found, int n_threads);
    ~mask_check() { wait(); }
    mask_check(const mask_check &) = delete;
    mask_check & operator=(const mask_check &) = delete;

    // Waits for the end; whether mask_confirms() what was found.
    bool passed();

  private:
    void read_part(int64_t part) noexcept;
    void wait();

    ubatch_view view_;
    const ubatch_runs & found_;
    int64_t n_parts_ = 1;
    int64_t n_started_ = 0;  // parts [0, n_started_) have a thread; passed() reads the rest
    std::atomic<bool> confirmed_{true};
    std::vector<std::thread> threads_;
};

}  // namespace tmx
