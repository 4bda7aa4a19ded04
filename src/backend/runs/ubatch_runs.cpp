#include "backend/runs/ubatch_runs.h"

namespace tmx {

const char * to_string(mask_reason reason) {
    switch (reason) {
        case mask_reason::no_mask:
            return "no_mask";
        case mask_reason::no_layer:
            return "no_layer";
        case mask_reason::no_inputs:
            return "no_inputs";
        case mask_reason::positions_2d:
            return "positions_2d";
        case mask_reason::mask_per_head:
            return "mask_per_head";
        case mask_reason::cell_range:
            return "cell_range";
        case mask_reason::mask_values:
            return "mask_values";
        case mask_reason::visible_count:
            return "visible_count";
    }
    return "unknown";
}

ubatch_runs all_masked(int64_t n_stream, int64_t n_rows, mask_reason reason) {
    ubatch_runs result;
    for (int64_t stream = 0; stream < n_stream; ++stream) {
        result.masked.push_back({static_cast<int32_t>(stream), 0, n_rows, reason, -1});
    }
    return result;
}

}  // namespace tmx
