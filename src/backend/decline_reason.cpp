#include "backend/decline_reason.h"

namespace tmx {

const char * to_string(decline_reason reason) {
    switch (reason) {
        case decline_reason::disabled:
            return "disabled";
        case decline_reason::rows:
            return "rows";
        case decline_reason::types:
            return "types";
        case decline_reason::dims:
            return "dims";
        case decline_reason::heads:
            return "heads";
        case decline_reason::layout:
            return "layout";
        case decline_reason::mask:
            return "mask";
        case decline_reason::extras:
            return "extras";
        case decline_reason::no_flash:
            return "no_flash";
    }
    return "unknown";
}

}  // namespace tmx
