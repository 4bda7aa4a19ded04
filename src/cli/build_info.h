// cli/build_info.h -- what this program was built from; its commit is source_commit().
#pragma once

#include <string>

#include "commit/source_commit.h"

namespace tmx {

const char * program_version();  // "0.1.0"
const char * built_against();    // "0.25.3 (0c1e570)": ggml's version and commit at configure time
const char * default_model();    // path of the embedded model
const char * default_llama();    // folder of the llama.cpp this build is linked with

}  // namespace tmx
