// recall/head_search.h -- the best pattern of each head, by the weights that it keeps of captured layers: MInference's
// offline search (arXiv 2407.02490), with patterns computed by our own kernels as a prompt will be.
//
// A pattern's score on a prompt is the least of ten: its mean recall over the rows of each tenth of the prompt; over
// several prompts the mean. (The published search averages over all rows from the 2500th on, of one prompt.) Patterns
// are taken as equally dear, so candidates should be: the largest score wins, the earlier one of equals.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "recall/layer_recall.h"
#include "trianglemix/head_patterns.h"

namespace tmx {

struct searched_layer {
    int32_t layer = 0;
    std::vector<size_t> best;    // [n_head] number of a candidate
    std::vector<double> scores;  // [n_head * n_candidates]
};

// captures: of one model and the same layers, at least one. told: called with what is measured next; may be empty.
// ERRORS failure: captures of different models or layers, and those of layer_recall.
std::vector<searched_layer> search_heads(const std::vector<std::string> & captures,
                                         const std::vector<head_pattern> & candidates, const recall_options & options,
                                         const std::function<void(const std::string &)> & told);

}  // namespace tmx
