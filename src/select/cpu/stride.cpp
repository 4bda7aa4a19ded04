#include "select/stride.h"

#include "select/methods.h"

namespace tmx {

status select_stride(const selection_rule & rule, const cpu_selection_call &, block_bitmap & bits) {
    const int64_t stride = stride_of(rule);
    for (int64_t head = 0; head < bits.shape.n_head; ++head) {
        for (int64_t tile = 0; tile < bits.shape.n_tiles(); ++tile) {
            for (int64_t word = 0; word < bits.shape.n_words(); ++word) {
                bits.of(head, tile)[word] = stride_bits(stride, bits.shape.rows_of(tile), word);
            }
        }
    }
    return {};
}

}  // namespace tmx
