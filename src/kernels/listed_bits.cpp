#include <bit>

#include "trianglemix/block_lists.h"

namespace tmx {

listed_bits::listed_bits(const block_bitmap & bits, bool per_query_head) {
    const bitmap_shape & shape = bits.shape;
    begin_.push_back(0);
    for (int64_t head = 0; head < shape.n_head; ++head) {
        for (int64_t tile = 0; tile < shape.n_tiles(); ++tile) {
            const uint32_t * words = bits.of(head, tile);
            for (int64_t word = 0; word < shape.n_words(); ++word) {
                for (uint32_t left = words[word]; left != 0; left &= left - 1) {
                    const int64_t block = word * k_word_bits + std::countr_zero(left);
                    first_rank_.push_back(static_cast<int32_t>(block * shape.block_keys));
                }
            }
            begin_.push_back(static_cast<int64_t>(first_rank_.size()));
        }
    }
    lists_.block_keys = shape.block_keys;
    lists_.list_rows = k_bitmap_rows;
    lists_.per_query_head = per_query_head;
    lists_.begin = begin_.data();
    lists_.first_rank = first_rank_.data();
}

}  // namespace tmx
