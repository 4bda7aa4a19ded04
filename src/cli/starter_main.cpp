// trianglemix-starter: `trianglemix serve` without llama.cpp in it, for machines that have another one than we were
// built with. The Python package ships it.
#include "cli/program.h"

namespace {

constexpr const char * k_overview = R"(
trianglemix serve -- llama-server -m MODEL.gguf     an unmodified server, with the backend

`trianglemix serve --help` has the options and examples.
Exit codes: those of the server; 1 it could not be started (stderr says why), 2 wrong usage.
)";

}  // namespace

int main(int argc, char ** argv) {
    return tmx::run_program(argc, argv, k_overview, {{"serve", tmx::add_serve}});
}
