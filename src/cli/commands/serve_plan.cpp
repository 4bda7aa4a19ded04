#include "cli/commands/serve_plan.h"

#include <fmt/core.h>

#include <cstdlib>
#include <fstream>

#include "cli/commands/server_command.h"
#include "cli/terminal.h"
#include "identity/model_identity.h"
#include "runtime/failure.h"
#include "trianglemix/environment_plan.h"

namespace tmx {
namespace {

// Whether TRIANGLEMIX_* variables of this process choose a plan. ERRORS failure: they are wrong, which the backend
// would only log, among many other lines.
bool plan_in_environment() {
    const environment_plan read = plan_of_environment([](const char * name) {
        const char * value = std::getenv((std::string("TRIANGLEMIX_") + name).c_str());
        return std::string(value != nullptr ? value : "");
    });
    for (const environment_problem & problem : read.problems) {
        if (problem.bad_value) {
            throw failure(problem.text);
        }
    }
    return read.chosen.has_value();
}

}  // namespace

std::unique_ptr<temporary_file> plan_file(const plan_options & asked, const std::vector<std::string> & server,
                                          environment & env) {
    const bool named = !asked.reference.empty() || asked.types_layers() || asked.exact;
    if (!named && plan_in_environment()) {
        tell("trianglemix: using the plan of the TRIANGLEMIX_* environment");
        return nullptr;
    }
    env.unset = {"TRIANGLEMIX_PLAN",   "TRIANGLEMIX_LAYERS", "TRIANGLEMIX_DYNAMIC", "TRIANGLEMIX_SINK",
                 "TRIANGLEMIX_WINDOW", "TRIANGLEMIX_LAST",   "TRIANGLEMIX_TAIL"};
    chosen_plan chosen;
    if (!asked.reference.empty()) {
        static_cast<void>(facts_of_plan(asked.reference));  // a misspelt one is found without reading a model
    }
    const std::string model_file = model_of(server);
    if (!model_file.empty()) {
        chosen = choose_plan(asked, value_of(read_identity(model_file)), false);
    } else if (asked.types_layers()) {
        throw failure(
            "--layers and --dynamic need the model's shape, and the server's command has no -m FILE that can be read; "
            "use --plan");
    } else if (!asked.reference.empty()) {
        chosen = choose_plan(asked, facts_of_plan(asked.reference), false);
    } else if (!asked.exact) {
        chosen.note =
            "the server's command has no -m FILE that can be read, so no preset was looked for: exact attention";
    }
    if (!chosen.note.empty()) {
        tell("trianglemix: note: " + chosen.note);
    }
    if (!asked.precision.empty()) {
        env.set.emplace_back("TRIANGLEMIX_PRECISION", asked.precision);
    }
    if (!chosen.sparse) {
        tell("trianglemix: no plan, attention is exact");
        return nullptr;
    }
    if (const std::string note = length_note(chosen.value, context_of(server), "the context"); !note.empty()) {
        fmt::print(stderr, "trianglemix: note: {}\n", note);
    }
    auto file = std::make_unique<temporary_file>("trianglemix-plan");
    std::ofstream(file->path()) << write_plan(chosen.value);
    env.set.emplace_back("TRIANGLEMIX_PLAN", file->path());
    tell(fmt::format("trianglemix: {} ({}), tail policy {}", chosen.layers(), chosen.source,
                     name_of(chosen.value.tail)));
    return file;
}

}  // namespace tmx
