// trianglemix: llama.cpp answers long prompts sooner. Subcommands run, bench, profile, capture, recall, heads, eval,
// serve, info.
#include "cli/program.h"

namespace {

constexpr const char * k_overview = R"(
trianglemix info                          what is here, and what it will do
trianglemix run --compare                 the embedded demonstration, next to stock llama.cpp
trianglemix run -m MODEL.gguf -f TEXT -q QUESTION
trianglemix bench --lengths 2048,7500     time to first token over lengths and modes
trianglemix profile -m MODEL.gguf         which layers can take Triangle attention: a plan
trianglemix capture -m MODEL.gguf         queries, keys and values of some layers, as a file
trianglemix recall FILE                   how much of such layers' attention each dynamic method keeps
trianglemix heads -m MODEL.gguf --table T a plan of MInference's per-head table, or of a search on captured layers
trianglemix eval -m MODEL.gguf            what that plan does to answers
trianglemix serve -- llama-server -m MODEL.gguf

`trianglemix COMMAND --help` has the options and examples of a command.
Exit codes: 0 done, 1 it failed (stderr says why), 2 wrong usage, 130 interrupted.
)";

}  // namespace

int main(int argc, char ** argv) {
    return tmx::run_program(argc, argv, k_overview,
                            {{"run", tmx::add_run},
                             {"bench", tmx::add_bench},
                             {"profile", tmx::add_profile},
                             {"capture", tmx::add_capture},
                             {"recall", tmx::add_recall},
                             {"heads", tmx::add_heads},
                             {"eval", tmx::add_eval},
                             {"serve", tmx::add_serve},
                             {"info", tmx::add_info}});
}
