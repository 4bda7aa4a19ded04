// Decoding of key / value rows to f32, and packing into the panels that the products read. Included once per target.

#if defined(TMX_PACK_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PACK_INL_H
#undef TMX_PACK_INL_H
#else
#define TMX_PACK_INL_H
#endif

#include <cstdint>
#include <cstring>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/cpu/gemm-inl.h"
#include "kernels/cpu/gemm_bf16_avx512.h"
#include "kernels/cpu/kernel_args.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE int64_t round_up(int64_t n, int64_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

// ---- decoding: n elements (a multiple of 16) from element `first` of a row-contiguous tensor
// --------------------------

template <class half_type>
HWY_INLINE void decode_half(const half_type * source, int64_t n, float * target) {
    const tag_f32 d;
    const hn::Rebind<half_type, tag_f32> d_half;
    for (int64_t i = 0; i < n; i += k_lanes) {
        hn::StoreU(hn::PromoteTo(d, hn::LoadU(d_half, source + i)), d, target + i);
    }
}

// The f16 scale at the head of a block, in every lane.
HWY_INLINE vec_f32 block_scale(const uint8_t * block) {
    const hn::Rebind<hwy::float16_t, tag_f32> d_half;
    const hn::Rebind<uint16_t, tag_f32> d_bits;
    uint16_t bits;
    std::memcpy(&bits, block, sizeof(bits));
    return hn::PromoteTo(tag_f32(), hn::BitCast(d_half, hn::Set(d_bits, bits)));
}

HWY_INLINE void decode_q8_0(const uint8_t * block, int64_t n, float * target) {
    const tag_f32 d;
    const hn::RebindToSigned<tag_f32> d_i32;
    const hn::Rebind<int8_t, tag_f32> d_i8;
    for (int64_t begin = 0; begin < n; begin += 32, block += block_bytes(dtype::q8_0)) {
        const vec_f32 step = block_scale(block);
        const int8_t * values = reinterpret_cast<const int8_t *>(block + 2);
        const int64_t count = n - begin < 32 ? n - begin : 32;
        for (int64_t i = 0; i < count; i += k_lanes) {
            const auto value = hn::PromoteTo(d_i32, hn::LoadU(d_i8, values + i));
            hn::StoreU(hn::Mul(step, hn::ConvertTo(d, value)), d, target + begin + i);
        }
    }
}

// Byte i of a block holds element i (low nibble) and element 16 + i (high nibble), both biased by 8.
HWY_INLINE void decode_q4_0(const uint8_t * block, int64_t n, float * target) {
    const tag_f32 d;
    const hn::RebindToSigned<tag_f32> d_i32;
    const hn::Rebind<uint8_t, tag_f32> d_u8;
    const auto bias = hn::Set(d_i32, 8);
    for (int64_t begin = 0; begin < n; begin += 32, block += block_bytes(dtype::q4_0)) {
        const vec_f32 step = block_scale(block);
        for (int64_t i = 0; i < 16; i += k_lanes) {
            const auto byte = hn::PromoteTo(d_i32, hn::LoadU(d_u8, block + 2 + i));
            const auto low = hn::Sub(hn::And(byte, hn::Set(d_i32, 15)), bias);
            const auto high = hn::Sub(hn::ShiftRight<4>(byte), bias);
            hn::StoreU(hn::Mul(step, hn::ConvertTo(d, low)), d, target + begin + i);
            hn::StoreU(hn::Mul(step, hn::ConvertTo(d, high)), d, target + begin + 16 + i);
        }
    }
}

HWY_INLINE const uint8_t * row_bytes(dtype type, const void * base, int64_t first) {
    return static_cast<const uint8_t *>(base) + first / block_elems(type) * block_bytes(type);
}

HWY_INLINE void decode_row(dtype type, const void * base, int64_t first, int64_t n, float * target) {
    const uint8_t * bytes = row_bytes(type, base, first);
    switch (type) {
        case dtype::f32:
            std::memcpy(target, bytes, static_cast<size_t>(n) * sizeof(float));
            break;
        case dtype::f16:
            decode_half(reinterpret_cast<const hwy::float16_t *>(bytes), n, target);
            break;
        case dtype::bf16:
            decode_half(reinterpret_cast<const hwy::bfloat16_t *>(bytes), n, target);
            break;
        case dtype::q8_0:
            decode_q8_0(bytes, n, target);
            break;
        case dtype::q4_0:
            decode_q4_0(bytes, n, target);
            break;
    }
}

// ---- bf16 pairs (fast precision), with the instruction set's own conversions
// -------------------------------------------

#if HWY_TARGET == HWY_AVX3
constexpr bool k_has_fast = true;
HWY_INLINE void pack_adjacent_bf16(const float * source, int64_t n, uint32_t * target) {
    avx512_bf16::pack_adjacent(source, n, target);
}
HWY_INLINE void pack_rows_bf16(const float * even, const float * odd, int64_t n, uint32_t * target) {
    avx512_bf16::pack_rows(even, odd, n, target);
}
#else
constexpr bool k_has_fast = false;
// Declared for the templates below, whose fast form is never instantiated here.
void pack_adjacent_bf16(const float * source, int64_t n, uint32_t * target);
void pack_rows_bf16(const float * even, const float * odd, int64_t n, uint32_t * target);
#endif

// ---- panels
// -----------------------------------------------------------------------------------------------------------

// Columns of a packed operand: panels of k_panel_width columns, the last one as narrow as whole vectors allow.
struct panel_shape {
    int64_t columns;  // a multiple of k_lanes

    int64_t width(int64_t panel_begin) const {
        return columns - panel_begin < k_panel_width ? columns - panel_begin : k_panel_width;
    }
};

// Four rows of n elements, `stride` apart, become n columns of four: target[i * target_stride + 0..3]. Reads (and
// ignores) up to a vector past the end of a row.
HWY_INLINE void transpose_4_rows(const float * source, int64_t stride, int64_t n, float * target,
                                 int64_t target_stride) {
    const tag_f32 d;
    const hn::Repartition<uint64_t, tag_f32> d_u64;
    const hn::Full128<float> d_block;
    constexpr int64_t k_block = 4;
    HWY_ALIGN float blocks[4 * k_lanes];
    for (int64_t i = 0; i < n; i += k_lanes) {
        const vec_f32 a = hn::LoadU(d, source + i);
        const vec_f32 b = hn::LoadU(d, source + stride + i);
        const vec_f32 c = hn::LoadU(d, source + 2 * stride + i);
        const vec_f32 e = hn::LoadU(d, source + 3 * stride + i);
        const auto ab_low = hn::BitCast(d_u64, hn::InterleaveLower(d, a, b));
        const auto ab_high = hn::BitCast(d_u64, hn::InterleaveUpper(d, a, b));
        const auto ce_low = hn::BitCast(d_u64, hn::InterleaveLower(d, c, e));
        const auto ce_high = hn::BitCast(d_u64, hn::InterleaveUpper(d, c, e));
        hn::Store(hn::BitCast(d, hn::InterleaveLower(d_u64, ab_low, ce_low)), d, blocks);
        hn::Store(hn::BitCast(d, hn::InterleaveUpper(d_u64, ab_low, ce_low)), d, blocks + k_lanes);
        hn::Store(hn::BitCast(d, hn::InterleaveLower(d_u64, ab_high, ce_high)), d, blocks + 2 * k_lanes);
        hn::Store(hn::BitCast(d, hn::InterleaveUpper(d_u64, ab_high, ce_high)), d, blocks + 3 * k_lanes);
        const int64_t count = n - i < k_lanes ? n - i : k_lanes;
        for (int64_t j = 0; j < count; ++j) {  // column i + j is 128-bit block j / 4 of result j % 4
            const float * block = blocks + j % k_block * k_lanes + j / k_block * k_block;
            hn::Store(hn::Load(d_block, block), d_block, target + (i + j) * target_stride);
        }
    }
}

// Keys of one tile: element offset of key i's row, or < 0 for a key that no row of the item sees (packed as zeros, so
// that whatever lies there cannot reach a sum).
struct tile_rows {
    dtype type;
    const void * base;
    const int64_t * offset;  // [n]
    int64_t n;
    int64_t dim;
};

// Rows of a token-major cache lie a page or so apart, out of reach of the hardware's prefetcher; 16 rows ahead is about
// the latency of memory at the speed of decoding.
HWY_INLINE void prefetch_tile_row(const tile_rows & rows, int64_t i) {
    constexpr int64_t k_line_bytes = 64;
    if (i < rows.n && rows.offset[i] >= 0) {
        const uint8_t * row = row_bytes(rows.type, rows.base, rows.offset[i]);
        for (int64_t byte = 0; byte < rows.dim / block_elems(rows.type) * block_bytes(rows.type);
             byte += k_line_bytes) {
            hwy::Prefetch(row + byte);
        }
    }
}

HWY_INLINE void decode_tile_row(const tile_rows & rows, int64_t i, float * target) {
    prefetch_tile_row(rows, i + 16);
    if (i < rows.n && rows.offset[i] >= 0) {
        decode_row(rows.type, rows.base, rows.offset[i], rows.dim, target);
    } else {
        std::memset(target, 0, static_cast<size_t>(rows.dim) * sizeof(float));
    }
}

// K^T: panels over keys (padded with zero keys to whole vectors); depth is dim, or dim / 2 bf16 pairs.
template <bool fast>
HWY_NOINLINE void pack_keys(const tile_rows & rows, float * convert, float * target) {
    const panel_shape shape{round_up(rows.n, k_lanes)};
    const int64_t depth = fast ? rows.dim / 2 : rows.dim;
    for (int64_t begin = 0; begin < shape.columns; begin += k_panel_width) {
        const int64_t width = shape.width(begin);
        for (int64_t key = 0; key < width; key += 4) {
            for (int64_t r = 0; r < 4; ++r) {
                float * row = convert + r * k_max_dim;
                decode_tile_row(rows, begin + key + r, row);
                if constexpr (fast) {
                    pack_adjacent_bf16(row, rows.dim, reinterpret_cast<uint32_t *>(row));
                }
            }
            transpose_4_rows(convert, k_max_dim, depth, target + begin * depth + key, width);
        }
    }
}

HWY_INLINE void copy_vectors(const float * source, int64_t n, float * target) {
    const tag_f32 d;
    for (int64_t i = 0; i < n; i += k_lanes) {
        hn::Store(hn::LoadU(d, source + i), d, target + i);
    }
}

// V: panels over the value dimension; depth is the key, or the pair of keys.
template <bool fast>
HWY_NOINLINE void pack_values(const tile_rows & rows, float * convert, float * target) {
    const panel_shape shape{rows.dim};
    const int64_t step = fast ? 2 : 1;
    const int64_t depth = (rows.n + step - 1) / step;
    for (int64_t key = 0; key < rows.n; key += step) {
        decode_tile_row(rows, key, convert);
        if constexpr (fast) {
            decode_tile_row(rows, key + 1, convert + k_max_dim);
            pack_rows_bf16(convert, convert + k_max_dim, rows.dim, reinterpret_cast<uint32_t *>(convert));
        }
        for (int64_t begin = 0; begin < shape.columns; begin += k_panel_width) {
            const int64_t width = shape.width(begin);
            copy_vectors(convert + begin, width, target + begin * depth + key / step * width);
        }
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::cpu
HWY_AFTER_NAMESPACE();

#endif
