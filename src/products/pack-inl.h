// Weights of a panel's columns, in the order the product reads them. Included once per Highway target.

#if defined(TMX_PRODUCTS_PACK_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PRODUCTS_PACK_INL_H
#undef TMX_PRODUCTS_PACK_INL_H
#else
#define TMX_PRODUCTS_PACK_INL_H
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "hwy/highway.h"
#include "products/decode-inl.h"
#include "products/decode_floats-inl.h"
#include "products/kernel.h"
#include "products/round-inl.h"
#include "products/round_i16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::products {
namespace HWY_NAMESPACE {

// The forms of a panel: what a value is kept as, whether it is the weights' own integer, and what turns its bits into
// the panel's.
struct quads {
    using element = int8_t;
    static constexpr bool is_integer = true;
    static constexpr uint32_t flip = 0x80808080u;  // int8 + 128, as uint8
};
struct pairs {
    using element = int16_t;
    static constexpr bool is_integer = true;
    static constexpr uint32_t flip = 0;
};
struct floats {
    using element = float;
    static constexpr bool is_integer = false;
    static constexpr uint32_t flip = 0;
};
struct bf16_pairs {
    using element = uint16_t;
    static constexpr bool is_integer = false;
    static constexpr uint32_t flip = 0;
};

struct i16_pairs {
    using element = int16_t;
    static constexpr bool is_integer = false;
    static constexpr uint32_t flip = 0;
};

// Neighbours in depth that share a scale; 0: there are no scales.
template <class form, weight_type type>
constexpr int64_t k_group_of = form::is_integer                  ? format_of(type).group
                               : std::is_same_v<form, i16_pairs> ? k_i16_group
                                                                 : 0;

constexpr int64_t k_piece = 16;  // bytes of a column that are moved at a time: a 128-bit block of a vector
constexpr int64_t k_blocks = k_lanes / 4;

// Four vectors of columns' pieces, column 4 b + v in block b of vector v, become four vectors of 32-bit elements, one
// of each column: those of the pieces' first element, of their second, ... `width` elements apart.
HWY_INLINE void transpose_pieces(const uint8_t * source, uint32_t flip, int64_t width, uint32_t * target) {
    const hn::Repartition<uint32_t, tag_f32> d;
    const hn::Repartition<uint64_t, tag_f32> d_u64;
    const auto * pieces = reinterpret_cast<const uint32_t *>(source);
    const auto bits = hn::Set(d, flip);
    const auto a = hn::Xor(hn::Load(d, pieces), bits);
    const auto b = hn::Xor(hn::Load(d, pieces + k_lanes), bits);
    const auto c = hn::Xor(hn::Load(d, pieces + 2 * k_lanes), bits);
    const auto e = hn::Xor(hn::Load(d, pieces + 3 * k_lanes), bits);
    const auto ab_low = hn::BitCast(d_u64, hn::InterleaveLower(d, a, b));
    const auto ab_high = hn::BitCast(d_u64, hn::InterleaveUpper(d, a, b));
    const auto ce_low = hn::BitCast(d_u64, hn::InterleaveLower(d, c, e));
    const auto ce_high = hn::BitCast(d_u64, hn::InterleaveUpper(d, c, e));
    hn::Store(hn::BitCast(d, hn::InterleaveLower(d_u64, ab_low, ce_low)), d, target);
    hn::Store(hn::BitCast(d, hn::InterleaveUpper(d_u64, ab_low, ce_low)), d, target + width);
    hn::Store(hn::BitCast(d, hn::InterleaveLower(d_u64, ab_high, ce_high)), d, target + 2 * width);
    hn::Store(hn::BitCast(d, hn::InterleaveUpper(d_u64, ab_high, ce_high)), d, target + 3 * width);
}

// The next n values of a column, at most as many as are packed at a time, as the panel keeps them; zeros behind them.
// The scales are left in `block`.
template <class form, weight_type type, int64_t most>
HWY_INLINE void load_values(const uint8_t * weights, int64_t n, decoded_block & block,
                            typename form::element * values) {
    if constexpr (form::is_integer) {
        decode_block<type>(weights, block);
        std::copy_n(block.values, most, values);
    } else {
        HWY_ALIGN float decoded[most];
        decode_floats<type, most>(weights, n, block, decoded);
        if constexpr (std::is_same_v<form, i16_pairs>) {
            for (int64_t i = 0; i < most; i += k_i16_group) {
                block.scales[i / k_i16_group] = round_group_to_i16(decoded + i, values + i);
            }
        } else if constexpr (sizeof(typename form::element) == sizeof(float)) {
            std::copy_n(decoded, most, values);
        } else {
            round_to_bf16(decoded, most, values);
        }
    }
}

template <class form, weight_type type, int64_t width>
void pack_columns(const product_args & args, int64_t column_begin, int64_t n_columns, const weight_panel & panel) {
    using element = typename form::element;
    constexpr weight_format format = format_of(type);
    constexpr int64_t k_most = is_quantised(type) ? format.block_elems : k_floats_a_time;
    constexpr int64_t k_group = k_group_of<form, type>;
    constexpr int64_t k_groups = k_group == 0 ? 0 : k_most / k_group;
    constexpr int64_t k_piece_elems = k_piece / static_cast<int64_t>(sizeof(element));
    constexpr int64_t k_pieces = k_most / k_piece_elems;
    constexpr int64_t k_step = std::max(k_piece_elems, k_group);
    constexpr bool k_has_min = form::is_integer && format.has_min;
    static_assert(width % k_lanes == 0);
    HWY_ALIGN uint8_t staged[k_pieces * k_lanes * k_piece];
    HWY_ALIGN element values[k_most];
    decoded_block block;
    auto * target = static_cast<uint32_t *>(panel.values);
    float * scales = panel.scales;
    float * mins = panel.mins;
    for (int64_t begin = 0; begin < args.depth; begin += k_most) {
        const uint8_t * weights = static_cast<const uint8_t *>(args.weights) + column_begin * args.weight_stride_bytes +
                                  begin / format.block_elems * format.block_bytes;
        const int64_t n = std::min(k_most, args.depth - begin);
        const int64_t n_pieces = (n + k_step - 1) / k_step * (k_step / k_piece_elems);
        for (int64_t first = 0; first < width; first += k_lanes) {
            for (int64_t lane = 0; lane < k_lanes; ++lane) {
                const int64_t column = first + lane;
                if (column < n_columns) {
                    load_values<form, type, k_most>(weights + column * args.weight_stride_bytes, n, block, values);
                } else {
                    block = {};
                    std::fill_n(values, k_most, element{});
                }
                for (int64_t piece = 0; piece < n_pieces; ++piece) {
                    std::memcpy(staged + ((piece * 4 + lane % 4) * k_blocks + lane / 4) * k_piece,
                                reinterpret_cast<const uint8_t *>(values) + piece * k_piece, k_piece);
                }
                for (int64_t g = 0; g < k_groups; ++g) {
                    scales[g * width + column] = block.scales[g];
                    if constexpr (k_has_min) {
                        mins[g * width + column] = block.mins[g];
                    }
                }
            }
            for (int64_t piece = 0; piece < n_pieces; ++piece) {
                transpose_pieces(staged + piece * k_lanes * k_piece, form::flip, width,
                                 target + piece * 4 * width + first);
            }
        }
        target += k_pieces * 4 * width;
        scales += k_groups * width;
        mins += k_has_min ? k_groups * width : 0;
    }
}

// Weights that are no integers.
template <class form, int64_t width>
void pack_plain_panel(const product_args & args, int64_t column_begin, int64_t n_columns, const weight_panel & panel) {
    switch (args.type) {
        case weight_type::f32:
            return pack_columns<form, weight_type::f32, width>(args, column_begin, n_columns, panel);
        case weight_type::f16:
            return pack_columns<form, weight_type::f16, width>(args, column_begin, n_columns, panel);
        case weight_type::bf16:
            return pack_columns<form, weight_type::bf16, width>(args, column_begin, n_columns, panel);
        default:
            break;
    }
}

template <class form, int64_t width>
void pack_panel(const product_args & args, int64_t column_begin, int64_t n_columns, const weight_panel & panel) {
    switch (args.type) {
        case weight_type::q8_0:
            return pack_columns<form, weight_type::q8_0, width>(args, column_begin, n_columns, panel);
        case weight_type::q4_0:
            return pack_columns<form, weight_type::q4_0, width>(args, column_begin, n_columns, panel);
        case weight_type::q4_1:
            return pack_columns<form, weight_type::q4_1, width>(args, column_begin, n_columns, panel);
        case weight_type::q5_0:
            return pack_columns<form, weight_type::q5_0, width>(args, column_begin, n_columns, panel);
        case weight_type::q5_1:
            return pack_columns<form, weight_type::q5_1, width>(args, column_begin, n_columns, panel);
        case weight_type::q4_k:
            return pack_columns<form, weight_type::q4_k, width>(args, column_begin, n_columns, panel);
        case weight_type::q5_k:
            return pack_columns<form, weight_type::q5_k, width>(args, column_begin, n_columns, panel);
        case weight_type::q6_k:
            return pack_columns<form, weight_type::q6_k, width>(args, column_begin, n_columns, panel);
        default:
            break;
    }
    if constexpr (!form::is_integer) {
        pack_plain_panel<form, width>(args, column_begin, n_columns, panel);
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::products
HWY_AFTER_NAMESPACE();

#endif
