// Weights of a panel's columns, in the order the product reads them. Included once per Highway target.

#if defined(TMX_PRODUCTS_PACK_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef TMX_PRODUCTS_PACK_INL_H
#undef TMX_PRODUCTS_PACK_INL_H
#else
#define TMX_PRODUCTS_PACK_INL_H
#endif

#include <cstdint>
#include <cstring>

#include "hwy/highway.h"
#include "products/decode-inl.h"
#include "products/kernel.h"

HWY_BEFORE_NAMESPACE();
namespace tmx::products {
namespace HWY_NAMESPACE {

// The forms of a panel: a 32-bit element holds `neighbours` integers.
struct quads {
    static constexpr int64_t neighbours = 4;
    static uint32_t element(const int8_t * values) {
        uint32_t bits = 0;
        std::memcpy(&bits, values, sizeof(bits));
        return bits ^ 0x80808080u;  // int8 + 128, as uint8
    }
};

struct pairs {
    static constexpr int64_t neighbours = 2;
    static uint32_t element(const int8_t * values) {
        const int16_t wide[2] = {values[0], values[1]};
        uint32_t bits = 0;
        std::memcpy(&bits, wide, sizeof(bits));
        return bits;
    }
};

template <class form, weight_type type, int64_t width>
void pack_columns(const product_args & args, int64_t column_begin, int64_t n_columns, const weight_panel & panel) {
    constexpr weight_format format = format_of(type);
    constexpr int64_t k_groups = format.block_elems / format.group;
    constexpr int64_t k_elements = format.block_elems / form::neighbours;
    decoded_block block;
    auto * values = static_cast<uint32_t *>(panel.values);
    float * scales = panel.scales;
    float * mins = panel.mins;
    for (int64_t begin = 0; begin < args.depth; begin += format.block_elems) {
        for (int64_t column = 0; column < width; ++column) {
            if (column < n_columns) {
                decode_block<type>(static_cast<const uint8_t *>(args.weights) +
                                       (column_begin + column) * args.weight_stride_bytes +
                                       begin / format.block_elems * format.block_bytes,
                                   block);
            } else {
                block = {};
            }
            for (int64_t i = 0; i < k_elements; ++i) {
                values[i * width + column] = form::element(block.values + i * form::neighbours);
            }
            for (int64_t g = 0; g < k_groups; ++g) {
                scales[g * width + column] = block.scales[g];
                if constexpr (format.has_min) {
                    mins[g * width + column] = block.mins[g];
                }
            }
        }
        values += k_elements * width;
        scales += k_groups * width;
        mins += format.has_min ? k_groups * width : 0;
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
    }
}

}  // namespace HWY_NAMESPACE
}  // namespace tmx::products
HWY_AFTER_NAMESPACE();

#endif
