#include "cli/commands/serve_plan.h"

#include <fmt/core.h>

#include <cstdlib>
#include <fstream>

#include "cli/commands/server_command.h"
#include "cli/terminal.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

// Whether TRIANGLEMIX_* variables of this process choose a plan. ERRORS failure: they are wrong, which the backend
// would only log, among many other lines.
bool plan_in_environment() {
    const auto value_of = [](const char * name) {
        const char * value = std::getenv(name);
        return std::string(value != nullptr ? value : "");
    };
    const std::string reference = value_of("TRIANGLEMIX_PLAN");
    const std::string layers = value_of("TRIANGLEMIX_LAYERS");
    const std::string dynamic = value_of("TRIANGLEMIX_DYNAMIC");
    if (!reference.empty() && !(layers.empty() && dynamic.empty())) {
        throw failure(fmt::format("TRIANGLEMIX_PLAN: {} is set as well; use one of the two",
                                  layers.empty() ? "TRIANGLEMIX_DYNAMIC" : "TRIANGLEMIX_LAYERS"));
    }
    if (!reference.empty()) {
        if (const parsed<plan> read = load_plan(reference); !read.ok()) {
            throw failure("TRIANGLEMIX_PLAN: " + read.error);
        }
    }
    if (!layers.empty()) {
        if (const parsed<std::vector<int32_t>> read = parse_layer_set(layers, -1); !read.ok()) {
            throw failure("TRIANGLEMIX_LAYERS: " + read.error);
        }
    }
    if (!dynamic.empty()) {
        if (const parsed<dynamic_layers> read = parse_dynamic_layers(dynamic, -1); !read.ok()) {
            throw failure("TRIANGLEMIX_DYNAMIC: " + read.error);
        }
    }
    return !reference.empty() || !layers.empty() || !dynamic.empty();
}

}  // namespace

std::unique_ptr<temporary_file> plan_file(const plan_options & asked, const std::vector<std::string> & server,
                                          environment & env) {
    const bool named = !asked.reference.empty() || !asked.layers.empty() || asked.exact;
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
        keep_log_messages(false);
        chosen = choose_plan(asked, model(model_file, {}, false).facts(), false);
    } else if (!asked.layers.empty()) {
        throw failure(
            "--layers needs the model's shape, and the server's command has no -m FILE that can be read; use --plan");
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
