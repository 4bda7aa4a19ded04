#include "select/xattention.h"

#include "select/methods.h"

namespace tmx {

status select_xattention(const selection_rule &, const cpu_selection_call &, block_bitmap &) {
    return status::error(status_code::unsupported, "not on this branch yet");
}

}  // namespace tmx
