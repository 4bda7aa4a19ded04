// commit/source_commit.h -- the commit that this program was built from: git_commit.cmake finds it at every build, or
// is told it.
#pragma once

namespace tmx {

const char * source_commit();  // "649d970ab", with "-dirty" when sources differed; "unknown" outside git

}  // namespace tmx
