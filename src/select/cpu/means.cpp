#include "select/means.h"

#include <omp.h>

#include <algorithm>

#include "select/cpu/block_means.h"
#include "select/cpu/choose_blocks.h"
#include "select/cpu/thread_memory.h"
#include "select/methods.h"

namespace tmx {
namespace {

using namespace select_cpu;

struct means_scratch {
    float * logits;
    float * votes;
    int32_t * order;
};

void choose(const means_values & values, const scored_tile & tile) {
    for (int64_t word = 0; word * k_word_bits < tile.n_visible(); ++word) {
        tile.words[word] = means_forced_bits(values.reference, tile.rows, word);
    }
    if (values.keep > 0) {
        keep_share(tile, values.keep);
    } else {
        keep_above(tile, values.alpha);
    }
}

}  // namespace

status select_means(const selection_rule & rule, const cpu_selection_call & call, block_bitmap & bits) {
    const means_values values = means_of(rule);
    const kernel * steps = nullptr;
    if (status s = choose_kernel(call.options.kernel, steps); !s.ok()) {
        return s;
    }
    const layer_rows rows{call.args, call.segment};
    const block_means means(*steps, rows, scored_blocks(rows.ranks()), false, call.n_threads);
    const int64_t n_items = call.args.n_head_kv * bits.shape.n_tiles();
    const int32_t n_workers = useful_threads(call.n_threads, n_items);
    const thread_memory memory(n_workers, [&](cpu_base::carver & pieces) {
        return means_scratch{pieces.take<float>(k_product_rows * padded_columns(means.n_blocks())),
                             pieces.take<float>(padded_columns(means.n_blocks())),
                             pieces.take<int32_t>(means.n_blocks())};
    });
    // The last tiles see most: they come first.
#pragma omp parallel for num_threads(n_workers) schedule(dynamic, 1) default(none) \
    shared(steps, values, call, rows, means, n_items, memory, bits)
    for (int64_t item = n_items - 1; item >= 0; --item) {
        const means_scratch scratch = memory.of_thread(omp_get_thread_num());
        const int64_t key_head = item % call.args.n_head_kv;
        const int64_t tile = item / call.args.n_head_kv;
        const index_range tile_rows = bits.shape.rows_of(tile);
        const auto n_scored = static_cast<size_t>(scored_blocks(tile_rows));
        if (n_scored > 0) {
            steps->means_votes({rows, key_head, tile_rows, means.panels(key_head), values.reference}, scratch.logits,
                               scratch.votes);
        }
        uint32_t * words = bits.of(key_head * rows.group(), tile);
        choose(values, {tile_rows, {scratch.votes, n_scored}, {scratch.order, n_scored}, words});
        for (int64_t head = 1; head < rows.group(); ++head) {
            std::copy_n(words, bits.shape.n_words(), bits.of(key_head * rows.group() + head, tile));
        }
    }
    return {};
}

}  // namespace tmx
