// `trianglemix recall`: how much of captured layers' attention each rule keeps, beside the best choice there is.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/build_info.h"
#include "cli/commands/commands.h"
#include "cli/machine.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/plot.h"
#include "cli/terminal.h"
#include "profile/page/svg.h"
#include "recall/layer_recall.h"
#include "runtime/arm.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr const char * k_recall_examples = R"(
Recall: the mean, over rows and heads, of dense attention's weights on the keys that a rule keeps. Pairs: its share of the
causal ones. Error: |output - dense output| / |dense output|. The prompt is cut into ubatches as a host cuts it, and no
row is dense for being among the last, as a plan would have it. The oracle knows all weights and takes the fewest
blocks of 128 keys that hold its share of a tile's: no choice of such blocks keeps more. docs/recall.md shows figures.

Examples:
  trianglemix recall needle.capture
  trianglemix recall needle.capture --rule xattention:tau=0.9 --rule means:keep=0.2 --rule triangle:512
  trianglemix recall needle.capture --json docs/results/select_recall.jsonl --plot recall
)";

constexpr const char * k_usual_rules[] = {"triangle:512",
                                          "triangle:2048",
                                          "means:alpha=0.2",
                                          "means:alpha=0.1",
                                          "means:alpha=0.05",
                                          "prism:p=0.9",
                                          "prism:p=0.95",
                                          "prism:p=0.98",
                                          "xattention:tau=0.8",
                                          "xattention:tau=0.9",
                                          "xattention:tau=0.95",
                                          "flexprefill:gamma=0.9",
                                          "flexprefill:gamma=0.95",
                                          "vertical_slash:256:1024",
                                          "vertical_slash:512:2048",
                                          "vertical_slash:1024:4096"};
constexpr int64_t k_sink = 8;  // of triangle entries

struct recall_command {
    std::string capture;
    std::vector<std::string> rules;
    std::vector<double> oracle = {0.8, 0.9, 0.95, 0.98};
    recall_options how;
    std::string json;
    std::string plot;
};

// What is measured: a window, or a method's rule.
struct measured_rule {
    std::string text;    // as shown
    std::string method;  // a line of the drawing
    std::optional<int64_t> window;
    selection_rule rule;
    std::vector<recalled> by_layer;
};

measured_rule read_rule(const std::string & text) {
    measured_rule read{text, text.substr(0, text.find(':')), {}, {}, {}};
    if (read.method == "triangle") {
        const selection_parameter whole{
            .name = "window", .least = 1, .most = k_most_tokens, .usual = 512, .whole = true};
        const parsed<double> window =
            parse_parameter(whole, std::string_view(text).substr(std::min(text.size(), read.method.size() + 1)));
        if (!window.ok()) {
            throw failure(fmt::format("--rule {}: a triangle entry has a window: triangle:512", text));
        }
        read.window = static_cast<int64_t>(window.value);
        return read;
    }
    const parsed<std::vector<dynamic_layers>> rules = parse_dynamic_layers(text + "@0", 1);
    if (!rules.ok() || rules.value.size() != 1) {
        throw failure(fmt::format("--rule {}: {}", text, rules.ok() ? "one rule at a time" : rules.error));
    }
    read.rule = rules.value.front().rule.selection;
    read.text = format_selection(read.rule);
    return read;
}

double mean(const std::vector<recalled> & values, double recalled::*of) {
    double sum = 0;
    for (const recalled & each : values) {
        sum += each.*of;
    }
    return sum / static_cast<double>(values.size());
}

std::vector<measured_rule> measure(const recall_command & options, capture_reader & reader, const invocation & call) {
    std::vector<measured_rule> rules;
    for (const std::string & text : options.rules) {
        rules.push_back(read_rule(text));
    }
    const size_t n_rules = rules.size();
    for (const double share : options.oracle) {
        rules.push_back({fmt::format("oracle:share={:g}", share), "oracle", {}, {}, {}});
    }
    for (size_t number = 0; number < reader.facts().layers.size(); ++number) {
        tell(fmt::format("layer {}", reader.facts().layers[number]));
        layer_recall layer(reader.facts(), reader.read(number), options.how);
        for (size_t i = 0; i < n_rules; ++i) {
            call.check_stop();
            rules[i].by_layer.push_back(rules[i].window ? layer.of_band({k_sink, *rules[i].window})
                                                        : layer.of_rule(rules[i].rule));
        }
        const std::vector<recalled> best = layer.of_oracle(options.oracle);
        for (size_t i = 0; i < best.size(); ++i) {
            rules[n_rules + i].by_layer.push_back(best[i]);
        }
    }
    return rules;
}

std::string jsonl(const recall_command & options, const capture_facts & facts, const std::vector<measured_rule> & rules,
                  const invocation & call) {
    std::string lines;
    for (const measured_rule & rule : rules) {
        nlohmann::ordered_json row = {{"case", rule.text},
                                      {"method", rule.method},
                                      {"model", facts.model},
                                      {"prompt", facts.prompt},
                                      {"tokens", facts.n_tokens},
                                      {"ubatch", options.how.n_ubatch},
                                      {"layers", facts.layers},
                                      {"density", mean(rule.by_layer, &recalled::density)},
                                      {"recall", mean(rule.by_layer, &recalled::recall)}};
        row["error"] = nullptr;
        if (rule.method != "oracle") {
            row["error"] = mean(rule.by_layer, &recalled::error);
        }
        row["density_by_layer"] = nlohmann::ordered_json::array();
        row["recall_by_layer"] = nlohmann::ordered_json::array();
        for (const recalled & layer : rule.by_layer) {
            row["density_by_layer"].push_back(layer.density);
            row["recall_by_layer"].push_back(layer.recall);
        }
        row["command"] = call.command_line;
        row["machine"] = cpu_name();
        row["commit"] = source_commit();
        row["date"] = utc_time();
        lines += row.dump() + '\n';
    }
    return lines;
}

void draw(const recall_command & options, const capture_facts & facts, const std::vector<measured_rule> & rules) {
    svg_chart chart;
    chart.title = fmt::format("What methods leave out: {}, {} tokens", facts.model, facts.n_tokens);
    chart.x_label = "causal pairs that are kept, %";
    chart.y_label = "weights that are left out, %";
    chart.log_y = true;
    chart.x_from_zero = true;
    for (const measured_rule & rule : rules) {
        if (chart.series.empty() || chart.series.back().name != rule.method) {
            chart.series.push_back({rule.method, {}, true});
        }
        const double lost = 100 * (1 - mean(rule.by_layer, &recalled::recall));
        chart.series.back().points.emplace_back(100 * mean(rule.by_layer, &recalled::density), std::max(lost, 0.001));
    }
    for (svg_series & series : chart.series) {
        std::sort(series.points.begin(), series.points.end());
    }
    say_drawn(options.plot, write_drawing(options.plot, draw_chart(chart)));
}

int recall(const recall_command & options, const invocation & call) {
    for (const std::string & path : {options.json, options.plot.empty() ? "" : options.plot + ".svg"}) {
        if (!path.empty()) {
            check_writable(path);
        }
    }
    capture_reader reader(options.capture);
    const capture_facts & facts = reader.facts();
    const double start = seconds_now();
    const std::vector<measured_rule> rules = measure(options, reader, call);
    text_table table({"rule", "pairs", "recall", "error"});
    for (const measured_rule & rule : rules) {
        table.add({rule.text, fmt::format("{:.1f}%", 100 * mean(rule.by_layer, &recalled::density)),
                   fmt::format("{:.2f}%", 100 * mean(rule.by_layer, &recalled::recall)),
                   rule.method == "oracle" ? "-" : fmt::format("{:.4f}", mean(rule.by_layer, &recalled::error))});
    }
    fmt::print("{}, {}, {} tokens, layers {}; {}\n\n{}", facts.model, facts.prompt, facts.n_tokens,
               format_layer_set(facts.layers), show_seconds(seconds_now() - start),
               table.print(line_width(STDOUT_FILENO)));
    if (!options.json.empty()) {
        append_to_file(options.json, jsonl(options, facts, rules, call));
    }
    if (!options.plot.empty()) {
        draw(options, facts, rules);
    }
    return 0;
}

}  // namespace

command add_recall(CLI::App & app) {
    auto options = std::make_shared<recall_command>();
    options->rules.assign(std::begin(k_usual_rules), std::end(k_usual_rules));
    options->how.n_threads = hardware_threads();
    CLI::App * sub = app.add_subcommand("recall", "How much of captured layers' attention each dynamic method keeps");
    sub->footer(k_recall_examples);
    shown(sub->add_option("capture", options->capture, "a file of trianglemix capture")
              ->required()
              ->check(CLI::ExistingFile),
          "FILE", "");
    shown(sub->add_option("--rule", options->rules,
                          "a method with values as in --dynamic, without layers; or "
                          "triangle:WINDOW; may be given several times")
              ->allow_extra_args(false),
          "RULE", "several settings of each method");
    shown(sub->add_option("--oracle", options->oracle, "shares of the weights")
              ->delimiter(',')
              ->allow_extra_args(false)
              ->check(CLI::Range(0.0, 1.0)),
          "SHARE,...", "0.8,0.9,0.95,0.98");
    shown(sub->add_option("-t,--threads", options->how.n_threads, "threads")->check(whole_number(1, 1024)), "N",
          "all that this process may use");
    shown(sub->add_option("--ubatch", options->how.n_ubatch, "rows that are selected together")
              ->check(whole_number(1, k_most_tokens)),
          "N", "2048");
    shown(sub->add_option("--json", options->json, "append a JSON line for each rule"), "FILE", "");
    shown(sub->add_option("--plot", options->plot, "draw PREFIX.svg and PREFIX.png"), "PREFIX", "");
    return [options](const invocation & call) {
        recall_command sorted = *options;
        std::sort(sorted.oracle.begin(), sorted.oracle.end());
        return recall(sorted, call);
    };
}

}  // namespace tmx
