#include "backend/product_decline.h"

namespace tmx {

const char * to_string(product_decline reason) {
    switch (reason) {
        case product_decline::rows:
            return "rows";
        case product_decline::weights:
            return "weights";
        case product_decline::types:
            return "types";
        case product_decline::layout:
            return "layout";
        case product_decline::memory:
            return "memory";
        case product_decline::gpu:
            return "gpu";
        case product_decline::computed:
            return "computed";
        case product_decline::hint:
            return "hint";
    }
    return "unknown";
}

}  // namespace tmx
