// One piece of the attention's reverse pass: rows [row_begin, row_end) of one head against all their keys. Compiled
// once per Highway target.

#if defined(TMX_PROBE_BACK_ITEM_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PROBE_BACK_ITEM_INL_H
#undef TMX_PROBE_BACK_ITEM_INL_H
#else
#define TMX_PROBE_BACK_ITEM_INL_H
#endif

#include <algorithm>
#include <cstdint>
#include <vector>

#include "probe/back_item.h"
#include "probe/probe_attention.h"
#include "probe/tile_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::HWY_NAMESPACE {

constexpr int64_t k_tile = k_back_tile;

// Rows [begin, begin + 64) of one head as a [64, d] block, times `factor`; rows at or behind `end` become zero.
inline void load_rows(const float * from, int64_t stride, int64_t d, int64_t begin, int64_t end, float factor,
                      float * to) {
    for (int64_t r = 0; r < k_tile; ++r) {
        const bool inside = begin + r < end;
        const float * row = from + (begin + r) * stride;
        for (int64_t c = 0; c < d; ++c) {
            to[r * d + c] = inside ? factor * row[c] : 0.0F;
        }
    }
}

// Keys or values of one head, tile after tile: `rows` [tiles * 64, d], `columns` [tiles][d, 64]; zero behind `end`.
struct packed_keys {
    std::vector<float> rows;
    std::vector<float> columns;

    void pack(const float * from, int64_t stride, int64_t d, int64_t end) {
        const int64_t n_tiles = (end + k_tile - 1) / k_tile;
        rows.resize(static_cast<size_t>(n_tiles * k_tile * d));
        columns.resize(rows.size());
        for (int64_t tile = 0; tile < n_tiles; ++tile) {
            float * block = rows.data() + tile * k_tile * d;
            float * turned = columns.data() + tile * k_tile * d;
            load_rows(from, stride, d, tile * k_tile, end, 1.0F, block);
            for (int64_t r = 0; r < k_tile; ++r) {
                for (int64_t c = 0; c < d; ++c) {
                    turned[c * k_tile + r] = block[r * d + c];
                }
            }
        }
    }
};

class back_worker {
  public:
    back_worker(const probe_backward_args & args, back_item & item)
        : args_(args),
          item_(item),
          d_(args.shape.d),
          last_begin_(std::max<int64_t>(args.shape.n - args.sections.n_last, 0)),
          streaming_{args.sections.n_sink, args.sections.n_window} {
        const auto block = static_cast<size_t>(k_tile * d_);
        q_.resize(block);
        d_out_.resize(block);
        dq_.resize(block);
        dk_.resize(block);
        dv_.resize(block);
        s_.resize(static_cast<size_t>(k_tile * k_tile));
        da_.resize(s_.size());
    }

    void run() {
        const int64_t kv_head = item_.head / (args_.shape.n_head / args_.shape.n_head_kv);
        const int64_t kv_stride = args_.shape.n_head_kv * d_;
        keys_.pack(args_.k + kv_head * d_, kv_stride, d_, item_.row_end);
        values_.pack(args_.v + kv_head * d_, kv_stride, d_, item_.row_end);
        for (int64_t row = item_.row_begin; row < item_.row_end; row += k_tile) {
            run_rows(row, std::min(row + k_tile, item_.row_end));
        }
    }

  private:
    const probe_backward_args & args_;
    back_item & item_;
    int64_t d_;
    int64_t last_begin_;
    band streaming_;
    packed_keys keys_, values_;
    std::vector<float> q_, d_out_, dq_, dk_, dv_, s_, da_;
    float dot_[k_tile] = {};
    float lse_[k_tile] = {};
    float terms_[3 * k_tile] = {};

    void run_rows(int64_t row_begin, int64_t row_end) {
        const int64_t stride = args_.shape.n_head * d_;
        load_rows(args_.q + item_.head * d_, stride, d_, row_begin, row_end, args_.shape.scale, q_.data());
        load_rows(args_.d_out + item_.head * d_, stride, d_, row_begin, row_end, 1.0F, d_out_.data());
        std::fill(dq_.begin(), dq_.end(), 0.0F);
        for (int64_t i = row_begin; i < row_end; ++i) {
            const float * out = args_.out + i * stride + item_.head * d_;
            const float * d_out = d_out_.data() + (i - row_begin) * d_;
            double dot = 0;
            for (int64_t c = 0; c < d_; ++c) {
                dot += static_cast<double>(out[c]) * static_cast<double>(d_out[c]);
            }
            dot_[i - row_begin] = static_cast<float>(dot);
            lse_[i - row_begin] = args_.lse[item_.head * args_.shape.n + i];
        }
        for (int64_t key = 0; key < row_end; key += k_tile) {
            run_tile(row_begin, row_end, key);
        }
        for (int64_t i = row_begin; i < row_end; ++i) {
            float * dq = args_.dq + i * stride + item_.head * d_;
            for (int64_t c = 0; c < d_; ++c) {
                dq[c] = args_.shape.scale * dq_[static_cast<size_t>((i - row_begin) * d_ + c)];
            }
        }
    }

    void run_tile(int64_t row_begin, int64_t row_end, int64_t key) {
        const int64_t at = key * d_;
        product<false>({k_tile, k_tile, d_, q_.data(), d_, 1, keys_.columns.data() + at, k_tile, s_.data(), k_tile});
        product<false>(
            {k_tile, k_tile, d_, d_out_.data(), d_, 1, values_.columns.data() + at, k_tile, da_.data(), k_tile});
        for (int64_t r = 0; r < k_tile; ++r) {
            float * s = s_.data() + r * k_tile;
            float * da = da_.data() + r * k_tile;
            const int64_t i = row_begin + r;
            if (i >= row_end) {
                std::fill(s, s + k_tile, 0.0F);
                std::fill(da, da + k_tile, 0.0F);
                continue;
            }
            softmax_back_row(s, da, terms_, k_tile, lse_[r], dot_[r]);
            const int64_t n_keys = std::min(i + 1 - key, k_tile);
            if (n_keys < k_tile) {
                std::fill(s + n_keys, s + k_tile, 0.0F);
                std::fill(da + n_keys, da + k_tile, 0.0F);
            }
            count_row(i, key, n_keys, s);
        }
        // dv += A^T do, dk += dS^T (scale q), dq += dS k.
        product<false>({k_tile, d_, k_tile, s_.data(), 1, k_tile, d_out_.data(), d_, dv_.data(), d_});
        product<false>({k_tile, d_, k_tile, da_.data(), 1, k_tile, q_.data(), d_, dk_.data(), d_});
        product<true>({k_tile, d_, k_tile, da_.data(), k_tile, 1, keys_.rows.data() + at, d_, dq_.data(), d_});
        const int64_t n_elems = std::min(k_tile, args_.shape.n - key) * d_;
        float * dk = item_.dk + at;
        float * dv = item_.dv + at;
        for (int64_t c = 0; c < n_elems; ++c) {
            dk[c] += dk_[static_cast<size_t>(c)];
            dv[c] += dv_[static_cast<size_t>(c)];
        }
    }

    void add(section s, int64_t begin, int64_t end, const float * a) {
        if (begin < end) {
            section_sums & sums = item_.sums[index_of(s)];
            sums.gradient += sum_of(terms_, begin, end);
            sums.contribution += sum_of(terms_ + k_tile, begin, end);
            sums.score_gradient += sum_of(terms_ + 2 * k_tile, begin, end);
            sums.mass += sum_of(a, begin, end);
        }
    }

    // Which section the pairs (i, key .. key + n_keys) belong to: geometry.h cuts the row.
    void count_row(int64_t i, int64_t key, int64_t n_keys, const float * a) {
        const key_ranges kept = visited_keys(streaming_, {i, i + 1});
        const auto in_tile = [&](int64_t j) { return std::clamp<int64_t>(j - key, 0, n_keys); };
        add(section::streaming, in_tile(kept.sink.begin), in_tile(kept.sink.end), a);
        add(i >= last_begin_ ? section::last : section::middle, in_tile(kept.sink.end), in_tile(kept.window.begin), a);
        add(section::streaming, in_tile(kept.window.begin), in_tile(kept.window.end), a);
    }
};

inline void run_back_item(const probe_backward_args & args, back_item & item) {
    back_worker(args, item).run();
}

}  // namespace tmx::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // TMX_PROBE_BACK_ITEM_INL_H
