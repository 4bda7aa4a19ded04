// recall/block_masses.h -- the true weights of blocks of keys, and the choice that they lead to.
#pragma once

#include <cstdint>
#include <vector>

#include "trianglemix/attention.h"

namespace tmx {

// Over all tiles and heads.
struct oracle_sum {
    double pairs = 0;  // causal ones in the blocks that are kept
    double mass = 0;   // the weights in them; of a row and head all weights are 1
};

// For each share: every tile of 128 rows of every head keeps its mandatory blocks of 128 keys, then others by falling
// weight, until they hold that share of the tile's weights. REQUIRES f32 keys, rows that begin at rank 0; lse
// [n_head, n_q] of dense attention; shares ascending.
std::vector<oracle_sum> oracle_sums(const attention_args & args, const float * lse, const std::vector<double> & shares,
                                    int32_t n_threads);

}  // namespace tmx
