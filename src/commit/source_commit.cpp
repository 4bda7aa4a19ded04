#include "commit/source_commit.h"

#include "tmx_source_commit.h"

namespace tmx {

const char * source_commit() {
    return TMX_SOURCE_COMMIT;
}

}  // namespace tmx
