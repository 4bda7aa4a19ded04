// scored_oracle.h -- the scores of means, prism and xattention in double precision, pair by pair, straight from their
// papers' rules; and what each budget makes of scores that are known within a tolerance. Shares no code with src/.
#pragma once

#include <cstdint>
#include <vector>

#include "scored_layer.h"

namespace tmx::test {

// A score, and how far a computation in f32 may be from it.
struct known_score {
    double value = 0;
    double tolerance = 0;
};
using block_scores = std::vector<known_score>;

// Ranks of the rows of tile `tile`.
struct tile_ranks {
    int64_t begin = 0;
    int64_t end = 0;
};
tile_ranks ranks_of_tile(const layer_shape & shape, int64_t tile);

// One score for each block that is scored, [0, size).
block_scores means_scores(const scored_layer & layer, int64_t key_head, int64_t tile, bool tile_maximum);
// Of one query head. `rounded`: of queries and keys in bf16.
block_scores xattention_scores(const scored_layer & layer, int64_t head, int64_t tile, int64_t stride, bool reference,
                               bool rounded);
// Of one query head, all tiles: [tile][fast band, slow band].
std::vector<std::vector<block_scores>> prism_scores(const scored_layer & layer, int64_t head,
                                                    const rotary_layout & rotary, bool reference);

enum class verdict : uint8_t { dropped, kept, unsure };

// What a budget makes of each scored block. forced[block]: it stays whatever its score.
struct budget_question {
    block_scores scores;
    std::vector<bool> forced;  // of every block that the tile sees
};
std::vector<verdict> by_share(const budget_question & question, double keep);
std::vector<verdict> by_alpha(const budget_question & question, double alpha);
std::vector<verdict> by_mass(const budget_question & question, double tau);
std::vector<verdict> by_mass_before(const budget_question & question, double p);

}  // namespace tmx::test
