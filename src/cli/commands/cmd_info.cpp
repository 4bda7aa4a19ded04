// `trianglemix info`: what is here, what a given llama.cpp will make of it, and what a plan means for a model.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/build_info.h"
#include "cli/commands/commands.h"
#include "cli/host_build.h"
#include "cli/input_file.h"
#include "cli/machine.h"
#include "cli/options.h"
#include "cli/terminal.h"
#include "profile/pair_share.h"
#include "runtime/backend.h"
#include "runtime/failure.h"
#include "trianglemix/attention.h"
#include "trianglemix/geometry.h"
#include "trianglemix/layer_texts.h"

namespace tmx {
namespace {

using json = nlohmann::ordered_json;

constexpr const char * k_info_examples = R"(
Examples:
  trianglemix info                                     versions, kernels, presets, the llama.cpp of this build
  trianglemix info --llama /opt/llama.cpp/build        will that llama.cpp load the backend, and how; exit code 1: no
  trianglemix info -m model.gguf --plan my-plan.json   does the plan fit, and how much does it save
)";

struct info_options {
    std::string model;
    std::string llama;
    plan_options plan;
    bool verbose = false;
    bool json = false;
};

// What each kernel needs, as /proc/cpuinfo spells it.
struct kernel_needs {
    const char * name;
    std::vector<const char *> flags;
};
const std::vector<kernel_needs> & all_kernels() {
#if defined(__aarch64__)
    static const std::vector<kernel_needs> kernels = {{"neon", {}}, {"portable", {}}};
#else
    static const std::vector<kernel_needs> kernels = {
        {"avx512_bf16", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_bf16"}},
        {"avx512", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}},
        {"avx2", {"avx2", "fma", "f16c", "bmi1", "bmi2"}},
        {"ssse3", {"ssse3"}},
        {"portable", {}}};
#endif
    return kernels;
}

json kernels_json() {
    json kernels = json::array();
    const std::vector<cpu_kernel_info> here = cpu_kernels();
    const std::vector<std::string> flags = cpu_flags();
    for (const kernel_needs & kernel : all_kernels()) {
        const auto found = std::find_if(here.begin(), here.end(),
                                        [&](const cpu_kernel_info & k) { return std::string(k.name) == kernel.name; });
        json j = {{"name", kernel.name}, {"runs_here", found != here.end()}};
        if (found != here.end()) {
            j["fast_precision"] = found->fast;
            j["fast_is_faster"] = found->fast_pays;
            j["why"] =
                found == here.begin() ? "picked: the best that this CPU runs" : "runs here; a better one is picked";
        } else {
            std::string missing;
            for (const char * flag : kernel.flags) {
                if (std::find(flags.begin(), flags.end(), flag) == flags.end()) {
                    missing += (missing.empty() ? "" : ", ") + std::string(flag);
                }
            }
            j["why"] = missing.empty() ? "refused: not in this build" : "refused: this CPU has no " + missing;
        }
        kernels.push_back(std::move(j));
    }
    return kernels;
}

json host_json(const host_build & host) {
    const std::string refusal = host.refusal();
    json j = {{"program", host.program}, {"loads_backend", refusal.empty()}};
    j["way"] = host.kind == host_kind::dynamic  ? json("GGML_BACKEND_PATH")
               : host.kind == host_kind::linked ? json("LD_PRELOAD")
                                                : json();
    j["ggml_version"] = host.ggml_version;
    j["ggml_commit"] = host.ggml_commit;
    j["cuda"] = host.cuda;
    j["why"] = refusal.empty() ? host.how() : refusal;
    return j;
}

// Share of the causal pairs of a prompt that a triangle layer computes.
double kept_share(const triangle_shape & shape, int64_t n_tokens) {
    const std::vector<row_segment> segments =
        resolve_segments(shape, tail_policy::prompt, {{0, n_tokens}, n_tokens}, {});
    double kept = 0;
    for (const row_segment & segment : segments) {
        kept += static_cast<double>(kept_pairs(segment.kept, segment.rows));
    }
    return kept / (static_cast<double>(n_tokens) * static_cast<double>(n_tokens + 1) / 2);
}

// What is done in which layers.
json kinds_json(const plan & p, int32_t n_layer) {
    json kinds = {{"dense", dense_layers(p, n_layer)}, {"triangle", json::array()}, {"dynamic", json::array()}};
    for (const band_text & band : band_texts(p)) {
        kinds["triangle"].push_back({{"layers", band.layers}, {"sink", band.n_sink}, {"window", band.n_window}});
    }
    for (const selection_text & dynamic : selection_texts(p)) {
        kinds["dynamic"].push_back({{"layers", dynamic.layers},
                                    {"rule", dynamic.rule},
                                    {"heads", dynamic.heads.empty() ? json() : json(dynamic.heads)},
                                    {"min_tokens", dynamic.min_tokens},
                                    {"text", dynamic.text()}});
    }
    return kinds;
}

json plan_json(const chosen_plan & chosen, const model_facts & facts) {
    json j = {{"source", chosen.source}, {"planned", chosen.sparse}};
    if (!chosen.note.empty()) {
        j["note"] = chosen.note;
    }
    if (!chosen.sparse) {
        return j;
    }
    const plan & p = chosen.value;
    j["name"] = p.name;
    j["layers"] = chosen.layers();
    j["sink"] = p.shape.n_sink;
    j["window"] = p.shape.n_window;
    j["last"] = p.shape.n_last;
    j["precision"] = name_of(p.arithmetic);
    j["skip"] = p.skip;
    j["kinds"] = kinds_json(p, facts.n_layer);
    j["lengths"] = json::array();
    if (chosen.any_dynamic()) {
        j["lengths_note"] = "how many pairs remain is not known before: dynamic layers choose while they compute";
        return j;
    }
    for (int64_t n = 1024; n <= std::max(facts.n_ctx_train, 1024); n *= 2) {
        const double kept = kept_share(p.shape, n);
        j["lengths"].push_back(
            {{"n_tokens", n}, {"kept_in_triangle_layer", kept}, {"kept_in_model", pairs_kept(p, n, facts.windows)}});
    }
    return j;
}

json collect(const info_options & options) {
    json j;
    j["version"] = program_version();
    j["commit"] = source_commit();
    j["built_against_ggml"] = built_against();
    j["cpu"] = cpu_name();
    j["threads"] = hardware_threads();
    j["kernels"] = kernels_json();
    // Before the backends are loaded: it forks, and they may start threads.
    j["llama"] = host_json(inspect_host(options.llama.empty() ? default_llama() : options.llama));
    j["presets"] = json::array();
    for (const plan_preset & preset : plan_presets()) {
        j["presets"].push_back(preset.name);
    }
    json ours = {{"library", backend_library()}};
    std::unique_ptr<backend> loaded;
    try {
        loaded = std::make_unique<backend>(default_backend_paths(), options.verbose);
        ours["registered"] = true;
        const json counted = json::parse(loaded->statistics());
        ours["gpu"] = counted["gpu"]["devices"];
        for (const char * key : {"way", "kernel", "taken"}) {
            ours["products"][key] = counted["products"][key];
        }
    } catch (const failure & error) {
        ours["registered"] = false;
        ours["why"] = error.what();
    }
#ifdef TMX_CUDA
    ours["cuda_kernels"] = true;
#else
    ours["cuda_kernels"] = false;
#endif
    j["backend"] = ours;
    const bool plan_asked = !options.plan.reference.empty() || options.plan.types_layers();
    if (!options.model.empty()) {
        const model m(options.model, {}, false);
        const model_facts & f = m.facts();
        j["model"] = {{"file", f.path},          {"name", f.name},       {"architecture", f.architecture},
                      {"type", f.file_type},     {"layers", f.n_layer},  {"heads", f.n_head},
                      {"kv_heads", f.n_head_kv}, {"head_dim", f.d_head}, {"context", f.n_ctx_train}};
        j["plan"] = plan_json(choose_plan(options.plan, f, true), f);
    } else if (plan_asked) {
        if (options.plan.types_layers()) {
            throw failure("--layers and --dynamic need a model: add -m");
        }
        model_facts made_for = facts_of_plan(options.plan.reference);
        made_for.n_ctx_train = 131072;
        j["plan"] = plan_json(choose_plan(options.plan, made_for, true), made_for);
    }
    return j;
}

std::string text_of(const json & value) {
    return value.get<std::string>();
}

// A set of layers and the verb that goes with it: "layer 3 selects", "layers 0-2 select".
std::string layers_with(const json & layers, const char * of_one, const char * of_several) {
    const std::string set = text_of(layers);
    const bool is_one = set.find_first_of(",-") == std::string::npos;
    return fmt::format("{} {} {}", is_one ? "layer" : "layers", set, is_one ? of_one : of_several);
}

// Which matrix products of prompts are taken.
std::string describe_products(const json & products) {
    if (products["kernel"].is_null()) {
        return fmt::format("matrix products of prompts are left to llama.cpp (TRIANGLEMIX_PRODUCTS={})",
                           text_of(products["way"]));
    }
    std::map<std::pair<std::string, int64_t>, std::string> types;  // by arithmetic and least rows
    for (const auto & [type, rule] : products["taken"].items()) {
        std::string & names = types[{rule["arithmetic"], rule["min_rows"]}];
        names += (names.empty() ? "" : ", ") + type;
    }
    std::string text = fmt::format("matrix products of prompts, by kernel {}", text_of(products["kernel"]));
    std::string arithmetic;
    for (const auto & [how, names] : types) {
        if (how.first != arithmetic) {
            arithmetic = how.first;
            text += fmt::format("; in {}:", arithmetic == "host" ? "llama.cpp's arithmetic" : arithmetic);
        } else {
            text += ";";
        }
        text += fmt::format(" from {} rows {}", how.second, names);
    }
    return text;
}

void print(const json & j, int width) {
    constexpr int k_indent = 14;
    const auto line = [&](const std::string & label, const std::string & text) {
        fmt::print("{:<{}}{}\n", label, k_indent, wrap(text, width, k_indent));
    };
    line("trianglemix", fmt::format("{} ({}), built against ggml {}", text_of(j["version"]), text_of(j["commit"]),
                                    text_of(j["built_against_ggml"])));
    line("machine", fmt::format("{}, {} threads", text_of(j["cpu"]), j["threads"].get<int>()));
    line("backend", j["backend"]["registered"].get<bool>()
                        ? text_of(j["backend"]["library"]) + ": loads and registers here"
                        : "does NOT load here: " + text_of(j["backend"]["why"]));
    fmt::print("\nCPU kernels\n");
    for (const json & kernel : j["kernels"]) {
        const bool fast = kernel.value("fast_precision", false);
        line("  " + text_of(kernel["name"]), text_of(kernel["why"]) + (fast ? " (exact and fast precision)" : ""));
    }
    const json & ours = j["backend"];
    if (ours.contains("products")) {
        line("  products", describe_products(ours["products"]));
    }
    fmt::print("\nGPUs\n");
    if (!ours["cuda_kernels"].get<bool>()) {
        line("  none", "this build has no CUDA kernels: it was made without nvcc, or with -DTMX_CUDA=OFF");
    } else if (!ours.contains("gpu") || ours["gpu"].empty()) {
        line("  none", "this build has CUDA kernels, but its llama.cpp finds no NVIDIA GPU that they run on");
    } else {
        for (const json & gpu : ours["gpu"]) {
            line("  " + text_of(gpu["name"]),
                 fmt::format("in front of {}, kernel {}; choose it with --device {}", text_of(gpu["wraps"]),
                             text_of(gpu["kernel"]), text_of(gpu["name"])));
        }
    }
    const json & host = j["llama"];
    fmt::print("\nllama.cpp\n");
    line("  program", text_of(host["program"]).empty() ? "none" : text_of(host["program"]));
    if (!text_of(host["ggml_version"]).empty()) {
        line("  ggml", fmt::format("{} ({})", text_of(host["ggml_version"]), text_of(host["ggml_commit"])));
    }
    line("  backend", (host["loads_backend"].get<bool>() ? "will load: " : "will NOT load: ") + text_of(host["why"]));
    if (!text_of(host["program"]).empty()) {
        line("  GPUs", !host["cuda"].get<bool>() ? "none: it has no CUDA backend"
                       : ours["cuda_kernels"].get<bool>()
                           ? "it has llama.cpp's CUDA backend: --device TriangleMix0 is the first GPU with our kernels"
                           : "it has llama.cpp's CUDA backend, but this build has no CUDA kernels for it");
    }
    std::string presets;
    for (const json & preset : j["presets"]) {
        presets += (presets.empty() ? "" : ", ") + text_of(preset);
    }
    fmt::print("\n");
    line("presets", presets);
    if (j.contains("model")) {
        const json & m = j["model"];
        line("model",
             fmt::format("{} ({}, {}): {} layers, {}/{} heads of {}, context {}", text_of(m["name"]),
                         text_of(m["architecture"]), text_of(m["type"]), m["layers"].get<int>(), m["heads"].get<int>(),
                         m["kv_heads"].get<int>(), m["head_dim"].get<int>(), m["context"].get<int>()));
    }
    if (!j.contains("plan")) {
        return;
    }
    const json & p = j["plan"];
    if (!p["planned"].get<bool>()) {
        line("plan", p.contains("note") ? text_of(p["note"]) : "none: exact attention in every layer");
        return;
    }
    line("plan", fmt::format("{}: {}; sink {}, window {}, last {}, {} precision", text_of(p["source"]),
                             text_of(p["layers"]), p["sink"].get<int64_t>(), p["window"].get<int64_t>(),
                             p["last"].get<int64_t>(), text_of(p["precision"])));
    for (const json & band : p["kinds"]["triangle"]) {
        if (band["sink"] != p["sink"] || band["window"] != p["window"]) {
            line("",
                 fmt::format("{} own band: sink {}, window {}", layers_with(band["layers"], "has its", "have their"),
                             band["sink"].get<int64_t>(), band["window"].get<int64_t>()));
        }
    }
    for (const json & dynamic : p["kinds"]["dynamic"]) {
        line("",
             fmt::format("{} by {}", layers_with(dynamic["layers"], "selects", "select"), text_of(dynamic["text"])));
    }
    if (p.contains("note")) {
        line("", text_of(p["note"]));
    }
    if (p.contains("lengths_note")) {
        line("", text_of(p["lengths_note"]));
        return;
    }
    fmt::print("\n");
    text_table table({"prompt tokens", "pairs in a triangle layer", "pairs in the model", "attention work"});
    for (const json & row : p["lengths"]) {
        const double model_share = row["kept_in_model"];
        table.add({std::to_string(row["n_tokens"].get<int64_t>()),
                   fmt::format("{:.1f}%", 100 * row["kept_in_triangle_layer"].get<double>()),
                   fmt::format("{:.1f}%", 100 * model_share), fmt::format("{:.1f}x less", 1 / model_share)});
    }
    fmt::print("{}", table.print(width));
}

}  // namespace

command add_info(CLI::App & app) {
    auto options = std::make_shared<info_options>();
    CLI::App * sub =
        app.add_subcommand("info", "Versions, kernels, how a llama.cpp will load the backend, what a plan means");
    sub->footer(k_info_examples);
    shown(sub->add_option("-m,--model", options->model, "GGUF file; only its header is read"), "FILE", "");
    shown(sub->add_option("--llama", options->llama, "a llama.cpp program, or its build or bin folder"), "PATH",
          "this build's own");
    add_plan_options(*sub, options->plan);
    sub->add_flag("-v,--verbose", options->verbose, "show llama.cpp's own messages on stderr");
    sub->add_flag("--json", options->json, "one JSON object on stdout");
    return [options](const invocation &) {
        if (!options->model.empty()) {
            if (const std::string problem = file_problem(options->model); !problem.empty()) {
                throw failure(problem);
            }
        }
        const json j = collect(*options);
        if (options->json) {
            fmt::print("{}\n", j.dump(2));
        } else {
            print(j, std::min(terminal_width(STDOUT_FILENO), 120));
        }
        // Whoever names a llama.cpp asks whether it will work, and a script reads the answer here.
        if (!options->llama.empty() && !j["llama"]["loads_backend"].get<bool>()) {
            throw failure("--llama: the backend will not load there: " + text_of(j["llama"]["why"]));
        }
        return 0;
    };
}

}  // namespace tmx
