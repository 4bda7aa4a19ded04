// Method "vertical_slash" (select/vertical_slash.h): sums along lines, the largest of them, bits. Between the last two
// lie bitmaps of kept verticals and slashes, [head][2][token words].
#include "select/vertical_slash.h"

#include <cuda_runtime_api.h>

#include <bit>

#include "select/cuda/largest.cuh"
#include "select/cuda/launches.h"
#include "select/cuda/line_words.h"
#include "select/methods.h"
#include "trianglemix/cuda_line_sums.h"

namespace tmx {
namespace {

using namespace cuda;

struct token_bitmaps {
    uint32_t * kept;   // [head][2][n_words]
    uint32_t * equal;  // the same, scratch
    int32_t n_words;
    int32_t n_keys;
};

// A block a head and kind of line, y: verticals, slashes.
__global__ void __launch_bounds__(k_largest_threads, 1)
    keep_largest(const __grid_constant__ cuda_line_sums sums, const __grid_constant__ token_bitmaps tokens,
                 int32_t n_verticals, int32_t n_slashes) {
    __shared__ largest_memory shared;
    const bool slashes = blockIdx.y == 1;
    const auto n_keys = static_cast<uint32_t>(tokens.n_keys);
    const float * from = (slashes ? sums.slash : sums.vertical) + int64_t{blockIdx.x} * n_keys;
    const auto n_forced = static_cast<int32_t>(slashes ? k_forced_slashes : k_forced_verticals);
    uint32_t most = 0;  // of those that this thread has seen
    const auto bits_of = [&](int32_t i) {
        const uint32_t bits = __float_as_uint(from[i]);
        most = bits > most ? bits : most;
        return i < n_forced ? ~uint32_t{0} : bits;
    };
    const auto n = static_cast<uint32_t>(smaller(slashes ? n_slashes : n_verticals, tokens.n_keys));
    largest_cut cut = find_largest(n_keys, n, bits_of, shared);
    if (__syncthreads_or(most >= __float_as_uint(INFINITY) ? 1 : 0) != 0) {  // a sum is not finite
        cut = find_largest(n_keys, n_keys, bits_of, shared);
    }
    const int64_t begin = (int64_t{blockIdx.x} * 2 + blockIdx.y) * tokens.n_words;
    write_largest(n_keys, cut, bits_of, static_cast<uint32_t>(tokens.n_words), tokens.kept + begin,
                  tokens.equal + begin, shared);
}

__device__ bool any_token(const uint32_t * bitmap, int32_t n_words, int64_t begin, int64_t end) {
    for (int64_t word = larger(begin, 0) / k_word_bits; word < n_words && word * k_word_bits < end; ++word) {
        if ((bitmap[word] & range_bits({begin, end}, word)) != 0) {
            return true;
        }
    }
    return false;
}

// A warp a word of a head's verticals or distances, a lane a bit. z: verticals, distances.
__global__ void __launch_bounds__(k_word_threads)
    make_line_words(const __grid_constant__ bitmap_shape shape, const __grid_constant__ token_bitmaps tokens,
                    uint32_t * lines) {
    const int64_t word = int64_t{blockIdx.x} * (k_word_threads / 32) + threadIdx.x / 32;
    if (word >= shape.n_words()) {
        return;
    }
    const uint32_t * bitmap = tokens.kept + (int64_t{blockIdx.y} * 2 + blockIdx.z) * tokens.n_words;
    const int64_t keys = shape.block_keys;
    const int64_t bit = word * k_word_bits + threadIdx.x % 32;
    // crossed_distances() the other way around: the slashes that meet a tile's rows at this distance.
    const int64_t nearest = keys * bit + tile_phase(shape);
    const bool kept = blockIdx.z == 0 ? any_token(bitmap, tokens.n_words, bit * keys, bit * keys + keys)
                                      : any_token(bitmap, tokens.n_words, nearest - keys + 1, nearest + k_bitmap_rows);
    const uint32_t bits = __ballot_sync(0xffffffff, kept);
    if (threadIdx.x % 32 == 0) {
        lines[(int64_t{blockIdx.y} * 2 + blockIdx.z) * shape.n_words() + word] = bits;
    }
}

// Numbers of the set bits of a bitmap, for merge_lines().
class falling_tokens {
  public:
    TMX_HOST_DEVICE falling_tokens(const uint32_t * bitmap, int64_t end)
        : bitmap_(bitmap), word_((end + k_word_bits - 1) / k_word_bits) {}
    TMX_HOST_DEVICE int64_t operator()() {
        while (left_ == 0) {
            if (word_ == 0) {
                return k_no_line;
            }
            left_ = bitmap_[--word_];
        }
        const int bit = std::bit_width(left_) - 1;
        left_ &= ~(uint32_t{1} << bit);
        return word_ * k_word_bits + bit;
    }

  private:
    const uint32_t * bitmap_;
    int64_t word_;
    uint32_t left_ = 0;
};

class rising_tokens {
  public:
    TMX_HOST_DEVICE rising_tokens(const uint32_t * bitmap, int64_t n_words) : bitmap_(bitmap), n_words_(n_words) {}
    TMX_HOST_DEVICE int64_t operator()() {
        while (left_ == 0) {
            if (++word_ >= n_words_) {
                return k_no_line;
            }
            left_ = bitmap_[word_];
        }
        const int bit = std::countr_zero(left_);
        left_ &= left_ - 1;
        return word_ * k_word_bits + bit;
    }

  private:
    const uint32_t * bitmap_;
    int64_t n_words_;
    int64_t word_ = -1;
    uint32_t left_ = 0;
};

// A thread a tile of a head: by the published rule, for comparison rather than speed.
__global__ void __launch_bounds__(k_word_threads)
    write_published_bits(const __grid_constant__ bitmap_shape shape, const __grid_constant__ token_bitmaps tokens,
                         uint32_t * bits) {
    const int64_t tile = int64_t{blockIdx.x} * k_word_threads + threadIdx.x;
    if (tile >= shape.n_tiles()) {
        return;
    }
    const uint32_t * verticals = tokens.kept + int64_t{blockIdx.y} * 2 * tokens.n_words;
    const uint32_t * slashes = verticals + tokens.n_words;
    const index_range rows = shape.rows_of(tile);
    uint32_t * words = bits + shape.first_word(blockIdx.y, tile);
    for (int64_t word = 0; word < shape.n_words(); ++word) {
        words[word] = mandatory_bits(rows, word, shape.block_keys);
    }
    const auto keep = [&](index_range keys) {
        const index_range blocks = blocks_of({keys.begin, smaller(keys.end, rows.end)}, shape.block_keys);
        for (int64_t word = blocks.begin / k_word_bits; word * k_word_bits < blocks.end; ++word) {
            words[word] |= range_bits(blocks, word);
        }
    };
    for (int64_t first = rows.begin; first < rows.end; first += k_strip) {
        merge_lines(
            {first, first + k_strip}, falling_tokens(slashes, smaller(first + k_strip, tokens.n_keys)),
            rising_tokens(verticals, tokens.n_words),
            [&](int64_t key) {
                keep({key, key + k_strip});
            },
            [&](int64_t key) {
                keep({key, key + 1});
            });
    }
}

// Offsets in the workspace.
struct layout {
    int64_t kept, equal, lines, bytes;
};

int64_t token_words(const bitmap_shape & shape) {
    return (shape.ranks.end + k_word_bits - 1) / k_word_bits;
}

layout lay_out(const bitmap_shape & shape) {
    const auto of = [&](int64_t n_words) {
        return (shape.n_head * 2 * n_words * static_cast<int64_t>(sizeof(uint32_t)) + 255) / 256 * 256;
    };
    layout at{};
    at.kept = cuda_line_sums_bytes(shape, k_vertical_slash_rows);
    at.equal = at.kept + of(token_words(shape));
    at.lines = at.equal + of(token_words(shape));
    at.bytes = at.lines + of(shape.n_words());
    return at;
}

status select_rows(const vertical_slash_values & values, const cuda_selection_call & call,
                   const cuda_selected_rows & rows) {
    const bitmap_shape & shape = rows.shape;
    const layout at = lay_out(shape);
    auto * workspace = static_cast<uint8_t *>(call.workspace);
    cuda_line_sums sums;
    if (status s = cuda_sum_lines(call.args, rows, k_vertical_slash_rows, workspace, call.stream, sums); !s.ok()) {
        return s;
    }
    const token_bitmaps tokens{reinterpret_cast<uint32_t *>(workspace + at.kept),
                               reinterpret_cast<uint32_t *>(workspace + at.equal),
                               static_cast<int32_t>(token_words(shape)), static_cast<int32_t>(shape.ranks.end)};
    const auto stream = static_cast<cudaStream_t>(call.stream);
    const auto n_head = static_cast<unsigned>(shape.n_head);
    keep_largest<<<dim3(n_head, 2), k_largest_threads, 0, stream>>>(
        sums, tokens, static_cast<int32_t>(values.n_verticals), static_cast<int32_t>(values.n_slashes));
    if (values.reference) {
        write_published_bits<<<dim3(word_blocks(shape.n_tiles()), n_head), k_word_threads, 0, stream>>>(shape, tokens,
                                                                                                        rows.bits);
        return launched("vertical_slash");
    }
    auto * lines = reinterpret_cast<uint32_t *>(workspace + at.lines);
    make_line_words<<<dim3(word_blocks(shape.n_words() * 32), n_head, 2), k_word_threads, 0, stream>>>(shape, tokens,
                                                                                                       lines);
    write_line_bits(shape, lines, rows.bits, stream);
    return launched("vertical_slash");
}

}  // namespace

int64_t cuda_vertical_slash_bytes(const selection_rule &, const attention_args &,
                                  std::span<const cuda_selected_rows> rows) noexcept {
    return most_bytes(rows, [](const bitmap_shape & shape) { return lay_out(shape).bytes; });
}

status cuda_select_vertical_slash(const selection_rule & rule, const cuda_selection_call & call) {
    const vertical_slash_values values = vertical_slash_of(rule);
    for (const cuda_selected_rows & rows : call.rows) {
        if (status s = select_rows(values, call, rows); !s.ok()) {
            return s;
        }
    }
    return {};
}

}  // namespace tmx
