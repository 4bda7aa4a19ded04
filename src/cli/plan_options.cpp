#include <fmt/core.h>

#include <charconv>
#include <cmath>

#include "cli/options.h"
#include "runtime/failure.h"

namespace tmx {

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

namespace {

// Of finite numbers. expected: those that are good, for people.
CLI::Validator number_that(bool (*good)(double value), const char * expected) {
    return {[good, expected](const std::string & text) {
                double value = 0;
                const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
                const bool number = error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
                return number && good(value) ? std::string() : fmt::format("found {}, expected {}", text, expected);
            },
            ""};
}

}  // namespace

CLI::Validator positive_number() {
    return number_that([](double value) { return value > 0; }, "a number above 0");
}

CLI::Validator share() {
    return number_that([](double value) { return value > 0 && value <= 1; }, "a number above 0 and at most 1");
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

model_facts facts_of_plan(const std::string & reference) {
    plan_options options;
    options.reference = reference;
    model_facts facts;
    static_cast<model_identity &>(facts) = value_of(model_of_plan(options));
    return facts;
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

chosen_plan choose_plan(const plan_options & options, const model_identity & facts, bool length_known) {
    return value_of(plan_for_model(options, facts, length_known));
}

}  // namespace tmx
