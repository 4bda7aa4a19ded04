// `trianglemix heads`: a plan in which each head has its own vertical-slash sizes: of MInference's tables, or searched.
#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands/commands.h"
#include "cli/input_file.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/terminal.h"
#include "cli/usage_error.h"
#include "measure/hash.h"
#include "profile/unit_set.h"
#include "recall/head_search.h"
#include "runtime/failure.h"
#include "trianglemix/head_patterns.h"

namespace tmx {
namespace {

constexpr const char * k_heads_examples = R"(
--table reads one of MInference's per-head tables (its releases have them as minference/configs/*.json): an array with an
object a layer, {"0": ["vertical_and_slash", 1000, 6096, 336468.4], ...}. Vertical-slash heads become rules of the
method vertical_slash, A-shape heads triangle ones with that sink and window, block-sparse heads and those that the
table leaves out vertical-slash with 1000 and 6096, as its own code has them.

--capture searches: of the candidates, which should cost about the same, each head takes the one that keeps the most of
its attention's weights in the tenth of the prompt where it keeps the least; over several captures, on average. Layers
that were not captured stay dense.

Examples:
  trianglemix heads -m model.gguf --table Llama_3.1_8B_Instruct_128k_kv_out_v32_best_pattern.json -o plan.json
  trianglemix heads -m model.gguf --capture needle.capture --capture kv.capture -o plan.json
  trianglemix heads -m model.gguf --capture needle.capture --candidates 100:800,500:700,a_shape:100:800 -o plan.json
)";

struct heads_options {
    model_options model;
    std::string table;
    std::vector<std::string> captures;
    // Published candidates, A-shape's stored as the published search stores it.
    std::vector<std::string> candidates = {"30:800", "100:750", "100:800", "500:700", "3500:100"};
    int64_t n_ubatch = 2048;
    std::string out;
};

head_pattern read_candidate(const std::string & text) {
    constexpr std::string_view k_a_shape = "a_shape:";
    head_pattern pattern;
    std::string_view sizes = text;
    if (sizes.starts_with(k_a_shape)) {
        pattern.is = head_pattern::kind::a_shape;
        sizes.remove_prefix(k_a_shape.size());
    }
    const selection_parameter whole{.name = "a size", .least = 0, .most = 1 << 20, .usual = 0, .whole = true};
    const size_t colon = std::min(sizes.find(':'), sizes.size());
    const parsed<double> first = parse_parameter(whole, sizes.substr(0, colon));
    const parsed<double> second = parse_parameter(whole, sizes.substr(std::min(colon + 1, sizes.size())));
    if (!first.ok() || !second.ok() || (pattern.is == head_pattern::kind::a_shape && second.value < 1)) {
        throw usage_error(fmt::format(
            "--candidates: \"{}\": expected COLUMNS:DIAGONALS, as in 500:700, or a_shape:FIRST:RECENT", text));
    }
    pattern.first = static_cast<int32_t>(first.value);
    pattern.second = static_cast<int32_t>(second.value);
    return pattern;
}

struct found_patterns {
    std::vector<layer_patterns> layers;
    nlohmann::ordered_json provenance;
};

found_patterns read_table(const heads_options & options, const model_shape & shape) {
    return {value_of(parse_minference_table(read_file(options.table), shape), options.table + ": "),
            {{"source", "MInference's per-head table"},
             {"file", show_file(options.table)},
             {"sha256", sha256_of_file(options.table)}}};
}

found_patterns search(const heads_options & options, const model_shape & shape, const invocation & call) {
    std::vector<head_pattern> candidates;
    for (const std::string & text : options.candidates) {
        candidates.push_back(read_candidate(text));
    }
    found_patterns found;
    found.provenance = {{"source", "trianglemix heads"}, {"captures", nlohmann::ordered_json::array()}};
    int64_t longest = 0;
    for (const std::string & path : options.captures) {
        const capture_facts facts = capture_reader(path).facts();
        if (facts.shape != shape) {
            throw failure(path + " was captured from another model, " + facts.model);
        }
        found.provenance["captures"].push_back(facts.prompt);
        longest = std::max(longest, facts.n_tokens);
    }
    found.provenance["measured_up_to"] = longest;
    const int32_t threads = options.model.threads > 0 ? options.model.threads : hardware_threads();
    const std::vector<searched_layer> searched =
        search_heads(options.captures, candidates, {.n_threads = threads, .n_ubatch = options.n_ubatch},
                     [&](const std::string & what) {
                         call.check_stop();
                         tell(what);
                     });
    std::vector<int64_t> wins(candidates.size());
    double sum = 0;
    int64_t n_heads = 0;
    for (const searched_layer & layer : searched) {
        layer_patterns patterns{layer.layer, {}};
        for (size_t head = 0; head < layer.best.size(); ++head) {
            patterns.heads.push_back(candidates[layer.best[head]]);
            ++wins[layer.best[head]];
            sum += layer.scores[head * candidates.size() + layer.best[head]];
            ++n_heads;
        }
        found.layers.push_back(std::move(patterns));
    }
    found.provenance["candidates"] = options.candidates;
    found.provenance["heads"] = wins;
    found.provenance["recall_in_the_worst_tenth"] = sum / static_cast<double>(n_heads);
    return found;
}

int heads(const heads_options & options, const invocation & call) {
    if (options.table.empty() == options.captures.empty()) {
        throw usage_error("heads needs --table or --capture, one of them");
    }
    options.model.check_file();
    check_writable(options.out);
    keep_log_messages(options.model.verbose);
    const model m(options.model.file(), {}, false);
    const model_shape shape = shape_of(m.facts());
    const found_patterns found = options.table.empty() ? search(options, shape, call) : read_table(options, shape);
    plan made = value_of(plan_of_patterns(found.layers, shape));
    call.check_stop();
    made.provenance = found.provenance.dump();
    write_file(options.out, write_plan(made));
    fmt::print("{}: {} rules for {} of {} layers\n", options.out, made.dynamic.size(), found.layers.size(),
               shape.n_layer);
    return 0;
}

}  // namespace

command add_heads(CLI::App & app) {
    auto options = std::make_shared<heads_options>();
    CLI::App * sub =
        app.add_subcommand("heads", "A plan with a pattern for each head: MInference's tables, or searched");
    sub->footer(k_heads_examples);
    shown(sub->add_option("-m,--model", options->model.path, "GGUF file that the plan is for"), "FILE",
          "the embedded model");
    shown(sub->add_option("-t,--threads", options->model.threads, "threads")->check(whole_number(1, 1024)), "N",
          "all that this process may use");
    shown(sub->add_option("--table", options->table, "a per-head table of MInference"), "FILE", "");
    shown(
        sub->add_option("--capture", options->captures, "search on a file of trianglemix capture; several: on average"),
        "FILE", "");
    shown(
        sub->add_option("--candidates", options->candidates, "COLUMNS:DIAGONALS, a_shape:FIRST:RECENT")->delimiter(','),
        "PATTERN,...", "30:800,100:750,100:800,500:700,3500:100");
    shown(sub->add_option("--ubatch", options->n_ubatch, "rows that are selected together, in a search")
              ->check(whole_number(1, k_most_tokens)),
          "N", "2048");
    shown(sub->add_option("-o,--out", options->out, "the plan")->required(), "FILE", "");
    return [options](const invocation & call) { return heads(*options, call); };
}

}  // namespace tmx
