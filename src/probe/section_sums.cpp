#include "probe/section_sums.h"

namespace tmx {

std::array<int64_t, 3> section_pairs(const triangle_shape & shape, int64_t n) {
    const band streaming{shape.n_sink, shape.n_window};
    const int64_t last_begin = larger(n - shape.n_last, 0);
    const int64_t kept = kept_pairs(streaming, {0, n});
    const int64_t last = kept_pairs(band{}, {last_begin, n}) - kept_pairs(streaming, {last_begin, n});
    return {kept, last, kept_pairs(band{}, {0, n}) - kept - last};
}

}  // namespace tmx
