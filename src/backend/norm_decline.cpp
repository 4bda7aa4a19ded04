#include "backend/norm_decline.h"

namespace tmx {

const char * to_string(norm_decline reason) {
    switch (reason) {
        case norm_decline::rows:
            return "rows";
        case norm_decline::types:
            return "types";
        case norm_decline::layout:
            return "layout";
        case norm_decline::memory:
            return "memory";
        case norm_decline::gpu:
            return "gpu";
    }
    return "unknown";
}

}  // namespace tmx
