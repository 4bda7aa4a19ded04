#include "cli/build_info.h"

namespace tmx {

const char * program_version() {
    return TMX_PROGRAM_VERSION;
}

}  // namespace tmx
