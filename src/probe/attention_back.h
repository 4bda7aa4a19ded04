// probe/attention_back.h -- the CPU's reverse pass of attention, tile by tile (formulas: probe_attention.h).
#pragma once

#include "probe/probe_attention.h"

namespace tmx {

// NUMERICS f32 products and sums within a tile, sums over tiles of a head in f32 (dq, dk, dv) and double (sums). The
//          arguments alone say how the work is cut, so the bits are the same for any number of threads.
// COST     10 d FLOP a pair and head in tiles of 64 x 64; memory: 2 * n * d floats for each piece of work, about 16
//          pieces, or n_head if that is more.
// ERRORS   std::bad_alloc.
void attention_back(const probe_backward_args & args, int32_t n_threads);

}  // namespace tmx
