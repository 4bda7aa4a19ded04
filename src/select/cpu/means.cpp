#include "select/means.h"

#include "select/methods.h"

namespace tmx {

status select_means(const selection_rule &, const cpu_selection_call &, block_bitmap &) {
    return status::error(status_code::unsupported, "not on this branch yet");
}

}  // namespace tmx
