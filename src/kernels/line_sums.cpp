// Sums of weights along lines: slabs of keys to threads, then the slabs' parts together, always in the same order.
#include "trianglemix/line_sums.h"

#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "cpu_base/scratch_block.h"
#include "kernels/cpu/line_kernels.h"

namespace tmx {
namespace {

using cpu::k_slab_keys;
using cpu::line_kernel;
using cpu::line_scratch;
using cpu::line_slab;

const line_kernel * find_kernel(const char * name) {
    for (const line_kernel & k : cpu::all_line_kernels()) {
        if (cpu::runs_here(k) && (name == nullptr || std::strcmp(name, k.name) == 0)) {
            return &k;
        }
    }
    return nullptr;
}

line_scratch carve(cpu_base::carver & pieces, const attention_args & args) {
    constexpr int64_t k_rows_in_flight = 8;  // of one register tile, whatever the instruction set
    line_scratch s;
    s.k = pieces.take<float>(cpu::k_block_keys * args.d_qk);
    s.logits = pieces.take<float>(k_rows_in_flight * cpu::k_block_keys);
    s.convert = pieces.take<float>(4 * cpu::k_max_dim + 16);
    return s;
}

// A call's slabs, numbered [key head][slab], and the threads' scratch.
class slab_work {
  public:
    slab_work(const attention_args & args, const attention_segment & segment, int64_t n_rows, int32_t n_threads)
        : args_(args),
          segment_(segment),
          rows_{larger(segment.row_begin, segment.row_end - n_rows), segment.row_end},
          n_keys_(segment.rank_begin + segment.row_end - segment.row_begin),
          n_slabs_((n_keys_ + k_slab_keys - 1) / k_slab_keys),
          group_(args.n_head / args.n_head_kv) {
        n_threads_ = static_cast<int>(smaller(n_threads, args.n_head_kv * n_slabs_));
        cpu_base::carver sizes(nullptr);
        carve(sizes, args);
        block_.reserve(sizes.used() * static_cast<size_t>(n_threads_));
        cpu_base::carver pieces(block_.get());
        for (int i = 0; i < n_threads_; ++i) {
            scratch_.push_back(carve(pieces, args));
        }
    }

    void add_up(const line_kernel & kernel, line_sums & sums) {
        sums.n_keys = n_keys_;
        sums.vertical.assign(static_cast<size_t>(args_.n_head * n_keys_), 0.0f);
        sums.slash.assign(static_cast<size_t>(args_.n_head * n_keys_), 0.0f);
        const int64_t n_packed = group_ * rows_.size();
        std::vector<float> largest(static_cast<size_t>(args_.n_head_kv * n_slabs_ * n_packed));
        std::vector<float> sum(largest.size());
        for_each_slab([&](const line_slab & slab, int64_t number, const line_scratch & scratch) {
            kernel.measure(slab, scratch, largest.data() + number * n_packed, sum.data() + number * n_packed);
        });
        std::vector<float> shift(static_cast<size_t>(args_.n_head_kv * n_packed));
        for (int64_t row = 0; row < args_.n_head_kv * n_packed; ++row) {
            const int64_t first = row / n_packed * n_slabs_ * n_packed + row % n_packed;
            shift[static_cast<size_t>(row)] = shift_of(largest.data() + first, sum.data() + first, n_packed);
        }
        const int64_t stride = rows_.size() - 1 + k_slab_keys;
        std::vector<float> parts(static_cast<size_t>(args_.n_head * n_slabs_ * stride));  // [key head][slab][head]
        for_each_slab([&](const line_slab & slab, int64_t number, const line_scratch & scratch) {
            kernel.add(slab, scratch, shift.data() + slab.key_head * n_packed,
                       sums.vertical.data() + slab.key_head * group_ * n_keys_ + slab.keys.begin, n_keys_,
                       parts.data() + number * group_ * stride, stride);
        });
        for (int64_t head = 0; head < args_.n_head; ++head) {
            join_slashes(sums.slash.data() + head * n_keys_,
                         parts.data() + (head / group_ * n_slabs_ * group_ + head % group_) * stride, stride);
        }
        const float share = 1.0f / static_cast<float>(rows_.size());
        for (std::vector<float> * each : {&sums.vertical, &sums.slash}) {
            for (float & value : *each) {
                value *= share;
            }
        }
        // What is no number may get lost in a maximum, by the instruction set.
        for (int64_t row = 0; row < args_.n_head_kv * n_packed; ++row) {
            if (!std::isfinite(shift[static_cast<size_t>(row)])) {
                const int64_t head = row / n_packed * group_ + row % n_packed / rows_.size();
                for (std::vector<float> * each : {&sums.vertical, &sums.slash}) {
                    std::fill_n(each->data() + head * n_keys_, n_keys_, std::numeric_limits<float>::quiet_NaN());
                }
            }
        }
    }

  private:
    line_slab slab_of(int64_t number) const {
        const int64_t begin = number % n_slabs_ * k_slab_keys;
        return {args_, segment_, number / n_slabs_, rows_, {begin, smaller(begin + k_slab_keys, n_keys_)}};
    }

    template <typename F>
    void for_each_slab(const F & work) {
        const int64_t n = args_.n_head_kv * n_slabs_;
#pragma omp parallel for num_threads(n_threads_) schedule(dynamic, 1)
        for (int64_t number = 0; number < n; ++number) {
            work(slab_of(number), number, scratch_[static_cast<size_t>(omp_get_thread_num())]);
        }
    }

    // Of one row, from all slabs: log2 of the sum of 2^exponent.
    float shift_of(const float * largest, const float * sum, int64_t stride) const {
        double most = -std::numeric_limits<double>::infinity();
        for (int64_t slab = 0; slab < n_slabs_; ++slab) {
            most = std::max(most, static_cast<double>(largest[slab * stride]));
        }
        double total = 0;
        for (int64_t slab = 0; slab < n_slabs_; ++slab) {
            total +=
                static_cast<double>(sum[slab * stride]) * std::exp2(static_cast<double>(largest[slab * stride]) - most);
        }
        return static_cast<float>(most + std::log2(total));
    }

    // Of one head; neighbouring slabs share distances. `parts`: of the first slab.
    void join_slashes(float * slash, const float * parts, int64_t stride) const {
        for (int64_t number = 0; number < n_slabs_; ++number) {
            const line_slab slab = slab_of(number);
            const float * part = parts + number * group_ * stride;
            for (int64_t t = 0; t < slab.n_slashes() && t <= slab.last_distance(); ++t) {
                slash[slab.last_distance() - t] += part[t];
            }
        }
    }

    const attention_args & args_;
    const attention_segment & segment_;
    const index_range rows_;
    const int64_t n_keys_;
    const int64_t n_slabs_;
    const int64_t group_;
    int n_threads_ = 1;
    cpu_base::scratch_block block_;
    std::vector<line_scratch> scratch_;
};

status check(const attention_segment & segment, int64_t n_rows, int32_t n_threads, const char * kernel,
             const line_kernel *& found) {
    if (segment.masked || segment.row_begin >= segment.row_end || n_rows < 1 || n_threads < 1) {
        return status::error(status_code::invalid_argument, "lines are of the rows of a ranked segment, not empty");
    }
    found = find_kernel(kernel);
    if (found == nullptr) {
        return status::error(status_code::unsupported, "kernel: this CPU cannot run \"%s\"",
                             kernel != nullptr ? kernel : "any");
    }
    return {};
}

status no_memory() {
    return status::error(status_code::out_of_memory, "no memory for sums along lines");
}

}  // namespace

status sum_lines(const attention_args & args, const attention_segment & segment, int64_t n_rows, int32_t n_threads,
                 line_sums & sums, const char * kernel) noexcept try {
    const line_kernel * found = nullptr;
    if (status s = check(segment, n_rows, n_threads, kernel, found); !s.ok()) {
        return s;
    }
    slab_work(args, segment, n_rows, n_threads).add_up(*found, sums);
    return {};
} catch (const std::bad_alloc &) {
    return no_memory();
}

}  // namespace tmx
