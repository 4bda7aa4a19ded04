#include "cli/options.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/build_info.h"
#include "cli/input_file.h"
#include "cli/terminal.h"
#include "profile/pair_share.h"
#include "profile/unit_set.h"
#include "runtime/failure.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    std::string word;
    for (const char c : text) {
        const bool part = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.';
        if (part) {
            word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        } else if (!word.empty()) {
            words.push_back(std::move(word));
            word.clear();
        }
    }
    if (!word.empty()) {
        words.push_back(std::move(word));
    }
    return words;
}

// "--layers 16-31 --dynamic stride:10@0-9"
std::string typed_layers(const plan_options & options) {
    const std::string layers = options.layers.empty() ? "" : "--layers " + options.layers;
    const std::string dynamic = options.dynamic.empty() ? "" : "--dynamic " + options.dynamic;
    return layers + (layers.empty() || dynamic.empty() ? "" : " ") + dynamic;
}

plan plan_of_layers(const plan_options & options, const model_facts & facts) {
    plan p;
    p.name = typed_layers(options);
    p.model = shape_of(facts);
    p.layers.resize(static_cast<size_t>(facts.n_layer));
    if (!options.layers.empty()) {
        const parsed<std::vector<int32_t>> layers = parse_layer_set(options.layers, facts.n_layer);
        if (!layers.ok()) {
            throw failure("--layers: " + layers.error);
        }
        for (const int32_t layer : layers.value) {
            p.layers[static_cast<size_t>(layer)].kind = layer_kind::triangle;
        }
    }
    if (!options.dynamic.empty()) {
        const parsed<std::vector<dynamic_layers>> rules = parse_dynamic_layers(options.dynamic, facts.n_layer);
        if (!rules.ok()) {
            throw failure("--dynamic: " + rules.error);
        }
        add_dynamic_layers(rules.value, p);
    }
    return p;
}

// What a shipped plan says about where it comes from.
struct preset_origin {
    bool measured_here = false;
    std::string source;
};

preset_origin origin_of(const plan & preset) {
    const auto provenance = nlohmann::json::parse(preset.provenance, nullptr, false);
    if (!provenance.is_object()) {
        return {};
    }
    return {provenance.value("measured_here", false), provenance.value("source", "")};
}

const plan_preset * preset_of(const model_facts & facts) {
    for (const plan_preset * preset : presets_for(shape_of(facts))) {
        if (preset_names_model(preset->name, facts.name)) {
            return preset;
        }
    }
    return nullptr;
}

std::string how_to_measure(const model_facts & facts) {
    return fmt::format("trianglemix profile -m {} finds which layers can be triangle and writes a plan",
                       facts.path.empty() ? "MODEL" : facts.path);
}

std::string no_preset_note(const model_facts & facts) {
    std::string note = fmt::format("no preset plan is known for '{}' ({} layers), so this is exact attention",
                                   facts.name.empty() ? show_file(facts.path) : facts.name, facts.n_layer);
    std::string fitting;
    for (const plan_preset * preset : presets_for(shape_of(facts))) {
        fitting += (fitting.empty() ? "" : ", ") + std::string(preset->name);
    }
    if (!fitting.empty()) {
        note += "; presets of models with the same shape: " + fitting + " (name one with --plan preset:NAME)";
    }
    return note + "; " + how_to_measure(facts);
}

std::string unmeasured_note(const plan & preset, const model_facts & facts) {
    return fmt::format(
        "the preset made for this model was not measured by this project ({}), so it is not used unasked, and this is "
        "exact attention; ask for it with --plan preset:{}, or {}",
        origin_of(preset).source, preset.name, how_to_measure(facts));
}

}  // namespace

std::string model_options::file() const {
    return path.empty() ? default_model() : path;
}

void model_options::check_file() const {
    const std::string problem = file_problem(file());
    if (problem.empty()) {
        return;
    }
    if (std::filesystem::exists(file())) {
        throw failure(problem);
    }
    throw failure(path.empty() ? "the embedded model is not there: " + file() +
                                     "\nRun scripts/setup.sh to fetch and convert it, or name a model with -m."
                               : "no model file at " + path);
}

CLI::Option * shown(CLI::Option * option, const std::string & takes, const std::string & otherwise) {
    option->option_text(otherwise.empty() ? takes : takes + " (" + otherwise + ")");
    return option;
}

CLI::Validator whole_number(int64_t least, int64_t most) {
    return {[least, most](const std::string & text) {
                int64_t value = 0;
                const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
                const bool good = error == std::errc() && end == text.data() + text.size();
                return good && value >= least && value <= most
                           ? std::string()
                           : fmt::format("found {}, expected a whole number from {} to {}", text, least, most);
            },
            ""};
}

CLI::Validator positive_number() {
    return {[](const std::string & text) {
                double value = 0;
                const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
                const bool good = error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
                return good && value > 0 ? std::string() : fmt::format("found {}, expected a number above 0", text);
            },
            ""};
}

void add_model_options(CLI::App & app, model_options & options) {
    shown(app.add_option("-m,--model", options.path, "GGUF file"), "FILE", "the embedded SmolLM2-135M-Instruct, Q8_0");
    shown(app.add_option("-t,--threads", options.threads, "threads")->check(whole_number(0, 4096)), "N",
          "all that this process may use");
    shown(app.add_option("-c,--ctx", options.n_ctx, "context in tokens")->check(whole_number(0, 1 << 27)), "N",
          "what the model was trained for");
    shown(app.add_option("--ubatch", options.n_ubatch, "also -ub: prompt tokens of one evaluation, in our arms")
              ->check(whole_number(TMX_DEFAULT_MIN_ROWS, 1 << 20)),
          "N", "2048");
    shown(app.add_option("--device", options.device,
                         "compute on that GPU, e.g. TriangleMix0 (trianglemix info lists them)"),
          "NAME", "the CPU");
    app.add_flag("-v,--verbose", options.verbose, "show llama.cpp's own messages on stderr");
}

void add_plan_options(CLI::App & app, plan_options & options) {
    CLI::Option * reference = shown(app.add_option("--plan", options.reference, "which layers take Triangle attention"),
                                    "FILE|preset:NAME", "the measured preset of this very model, if there is one");
    CLI::Option * layers =
        shown(app.add_option("--layers", options.layers, "triangle layers, e.g. 16-31 or 0,4,12-29 or all"), "SET", "");
    CLI::Option * dynamic =
        shown(app.add_option("--dynamic", options.dynamic,
                             "layers in which a method selects blocks of keys, e.g. 'stride:stride=10@0-9'; rules are "
                             "separated by ; (docs/env.md)"),
              "RULES", "");
    CLI::Option * exact = app.add_flag("--exact", options.exact, "no plan: dense attention, exactly, by our kernels");
    reference->excludes(layers)->excludes(dynamic)->excludes(exact);
    layers->excludes(exact);
    dynamic->excludes(exact);
    shown(app.add_option("--sink", options.sink, "first tokens that every row sees")
              ->check(whole_number(0, k_most_tokens)),
          "N", "the plan's, else 8");
    shown(app.add_option("--window", options.window, "recent tokens that every row sees")
              ->check(whole_number(1, k_most_tokens)),
          "N", "the plan's, else 512");
    shown(app.add_option("--last", options.last, "rows at the prompt's end that see everything")
              ->check(whole_number(0, k_most_tokens)),
          "N", "the plan's, else 128");
    shown(app.add_option("--tail", options.tail, "which rows count as the end")
              ->check(CLI::IsMember({"prompt", "chunk", "output"})),
          "prompt|chunk|output", "prompt; serve: the plan's");
    shown(app.add_option(
                 "--precision", options.precision,
                 "attention in f32, or in bf16 where the CPU has it; products with F32 and F16 weights in 16 bits, too")
              ->check(CLI::IsMember({"exact", "fast"})),
          "exact|fast", "the plan's, else exact");
}

bool preset_names_model(std::string_view preset, const std::string & general_name) {
    const std::vector<std::string> words = words_of(general_name);
    const std::vector<std::string> wanted = words_of(preset);
    return !words.empty() && std::all_of(wanted.begin(), wanted.end(), [&](const std::string & word) {
        return word == "instruct" || std::find(words.begin(), words.end(), word) != words.end();
    });
}

int64_t chosen_plan::n_planned() const {
    return std::count_if(value.layers.begin(), value.layers.end(),
                         [](const layer_plan & layer) { return layer != layer_plan{}; });
}

bool chosen_plan::any_dynamic() const {
    return std::any_of(value.layers.begin(), value.layers.end(),
                       [](const layer_plan & layer) { return layer.is_dynamic(); });
}

std::string chosen_plan::layers() const {
    std::vector<int32_t> indices;
    std::vector<int32_t> dynamic;
    for (size_t i = 0; i < value.layers.size(); ++i) {
        if (value.layers[i].kind == layer_kind::triangle) {
            indices.push_back(static_cast<int32_t>(i));
        }
        if (value.layers[i].is_dynamic()) {
            dynamic.push_back(static_cast<int32_t>(i));
        }
    }
    const std::string more =
        dynamic.empty() ? "" : fmt::format("; {} dynamic: {}", dynamic.size(), format_layer_set(dynamic));
    return fmt::format("{} of {} layers triangle: {}{}", indices.size(), value.layers.size(), format_layer_set(indices),
                       more);
}

model_facts facts_of_plan(const std::string & reference) {
    const parsed<plan> read = load_plan(reference);
    if (!read.ok()) {
        throw failure("--plan " + reference + ": " + read.error);
    }
    model_facts facts;
    facts.architecture = read.value.model.architecture;
    facts.n_layer = read.value.model.n_layer;
    facts.n_head = read.value.model.n_head;
    facts.n_head_kv = read.value.model.n_head_kv;
    facts.d_head = read.value.model.d_head;
    return facts;
}

std::string length_note(const plan & p, int64_t n_tokens, const std::string & what) {
    const int64_t measured = measured_length(p);
    if (!far_beyond(n_tokens, measured)) {
        return "";
    }
    return fmt::format(
        "the plan was measured on prompts of up to {} tokens, {} is {}: what it does to answers there is not known "
        "(trianglemix profile --length {} measures it)",
        measured, what, n_tokens, n_tokens);
}

std::string nothing_skipped_note(const chosen_plan & chosen, int64_t n_prompt) {
    if (!chosen.sparse || chosen.any_dynamic()) {
        return "";
    }
    for (size_t layer = 0; layer < chosen.value.layers.size(); ++layer) {
        const triangle_shape shape = chosen.value.shape_of_layer(layer);
        if (chosen.value.layers[layer].kind == layer_kind::triangle &&
            n_prompt > shape.n_sink + shape.n_window + shape.n_last) {
            return "";
        }
    }
    return fmt::format("{} tokens are within sink + window + last, so the plan has nothing to skip", n_prompt);
}

chosen_plan choose_plan(const plan_options & options, const model_facts & facts, bool length_known) {
    chosen_plan chosen;
    if (!options.reference.empty()) {
        const parsed<plan> read = load_plan(options.reference);
        if (!read.ok()) {
            throw failure("--plan " + options.reference + ": " + read.error);
        }
        const std::string mismatch = plan_mismatch(read.value, shape_of(facts));
        if (!mismatch.empty()) {
            throw failure("--plan " + options.reference + " does not fit " + show_file(facts.path) + ": " + mismatch);
        }
        chosen.value = read.value;
        chosen.source = options.reference;
    } else if (options.types_layers()) {
        chosen.value = plan_of_layers(options, facts);
        chosen.source = typed_layers(options);
    } else if (options.exact) {
        chosen.source = "--exact";
    } else if (const plan_preset * preset = preset_of(facts)) {
        const parsed<plan> read = parse_plan(preset->json_text);
        if (!read.ok()) {
            throw failure("preset " + std::string(preset->name) + ": " + read.error);
        }
        if (origin_of(read.value).measured_here) {
            chosen.value = read.value;
            chosen.source = "preset:" + std::string(preset->name);
        } else {
            chosen.source = "exact";
            chosen.note = unmeasured_note(read.value, facts);
        }
    } else {
        chosen.source = "exact";
        chosen.note = no_preset_note(facts);
    }
    const std::vector<int32_t> left = leave_windowed_layers(chosen.value, facts.windows);
    if (!left.empty()) {
        chosen.note += (chosen.note.empty() ? "" : "; ") + windows_note(facts.windows, left);
    }
    chosen.sparse = chosen.value.any_sparse();
    chosen.value.shape.n_sink = options.sink.value_or(chosen.value.shape.n_sink);
    chosen.value.shape.n_window = options.window.value_or(chosen.value.shape.n_window);
    chosen.value.shape.n_last = options.last.value_or(chosen.value.shape.n_last);
    if (!options.tail.empty()) {
        chosen.value.tail = parse_tail_policy(options.tail).value;
    } else if (length_known) {
        chosen.value.tail = tail_policy::prompt;
    }
    if (!options.precision.empty()) {
        chosen.value.arithmetic = parse_precision(options.precision).value;
    }
    return chosen;
}

model load_model(const model_options & options, const std::atomic<bool> & stop) {
    options.check_file();
    const std::string file = options.file();
    std::istringstream log(options.verbose ? "" : recent_log());
    for (std::string line; std::getline(log, line);) {
        if (const size_t at = line.find("TriangleMix: "); at != std::string::npos) {
            tell("note: " + line.substr(at));
        }
    }
    const bool live = isatty(STDERR_FILENO) == 1;
    double last = 0;
    const auto progress = [&](float share) {
        const double now = seconds_now();
        // Small models load in less than the first redraw.
        if (live && last != 0 && now - last > 0.2) {
            show_live(fmt::format("loading {}: {:.0f}%", show_file(file), 100 * static_cast<double>(share)));
            last = now;
        } else if (last == 0) {
            last = now;
        }
        return !stop.load(std::memory_order_relaxed);
    };
    model loaded(file, progress, true, options.device);
    if (live) {
        clear_live();
    }
    const int32_t trained = loaded.facts().n_ctx_train;
    if (trained > 0 && options.n_ctx > trained) {
        tell(fmt::format(
            "note: -c {} is beyond the {} tokens that {} was trained for; what it says about a longer prompt "
            "may be nonsense",
            options.n_ctx, trained, show_file(file)));
    }
    return loaded;
}

}  // namespace tmx
