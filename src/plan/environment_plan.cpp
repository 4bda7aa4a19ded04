#include "trianglemix/environment_plan.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "plan/limits.h"

namespace tmx {
namespace {

class environment_reader {
  public:
    environment_reader(const std::function<std::string(const char *)> & value_of, plan_loader load)
        : value_of_(value_of),
          load_(load),
          reference_(value_of("PLAN")),
          layers_(value_of("LAYERS")),
          dynamic_(value_of("DYNAMIC")) {}

    environment_plan read() {
        const bool typed = !layers_.empty() || !dynamic_.empty();
        if (!reference_.empty() && typed) {
            const std::string other = layers_.empty() ? "DYNAMIC" : "LAYERS";
            bad("PLAN", "TRIANGLEMIX_" + other + " is set as well; use one of the two");
            return std::move(result_);
        }
        warn_without_effect();
        if (!reference_.empty()) {
            result_.chosen = checked("PLAN", load_(reference_));
        }
        if (typed) {
            read_typed();
        }
        return std::move(result_);
    }

  private:
    void bad(const std::string & name, const std::string & why) {
        result_.problems.push_back({true, "TRIANGLEMIX_" + name + ": " + why});
    }

    template <class T>
    std::optional<T> checked(const std::string & name, const parsed<T> & value) {
        if (!value.ok()) {
            bad(name, value.error);
            return std::nullopt;
        }
        return value.value;
    }

    int64_t number(const char * name, int64_t least, int64_t otherwise) {
        const std::string text = value_of_(name);
        return text.empty() ? otherwise : checked(name, parse_whole_number(text, least)).value_or(otherwise);
    }

    void read_typed() {
        const size_t problems_before = result_.problems.size();
        plan made;
        made.shape.n_sink = number("SINK", 0, made.shape.n_sink);
        made.shape.n_window = number("WINDOW", 1, made.shape.n_window);
        made.shape.n_last = number("LAST", 0, made.shape.n_last);
        if (const std::string tail = value_of_("TAIL"); !tail.empty()) {
            made.tail = checked("TAIL", parse_tail_policy(tail)).value_or(made.tail);
        }
        if (!layers_.empty()) {
            add_layers(made);
        }
        if (!dynamic_.empty()) {
            made.name += made.name.empty() ? "" : " ";
            made.name += "TRIANGLEMIX_DYNAMIC=" + dynamic_;
            if (const auto rules = checked("DYNAMIC", parse_dynamic_layers(dynamic_, -1))) {
                add_dynamic_layers(*rules, made);
            }
        }
        if (result_.problems.size() == problems_before) {  // half a plan is none
            result_.chosen = std::move(made);
        }
    }

    void add_layers(plan & made) {
        made.name = "TRIANGLEMIX_LAYERS=" + layers_;
        if (const auto set = checked("LAYERS", parse_layer_set(layers_, -1))) {
            for (const int32_t layer : *set) {
                made.layers.resize(std::max(made.layers.size(), static_cast<size_t>(layer) + 1));
                made.layers[static_cast<size_t>(layer)].kind = layer_kind::triangle;
            }
        }
    }

    void warn_without_effect() {
        for (const char * name : {"SINK", "WINDOW", "LAST", "TAIL"}) {
            const bool of_bands = name == std::string_view("SINK") || name == std::string_view("WINDOW");
            if (!value_of_(name).empty() && layers_.empty() && (of_bands || dynamic_.empty())) {
                const char * needed = of_bands ? "TRIANGLEMIX_LAYERS" : "TRIANGLEMIX_LAYERS or TRIANGLEMIX_DYNAMIC";
                result_.problems.push_back(
                    {false, std::string("TRIANGLEMIX_") + name + " has no effect without " + needed});
            }
        }
    }

    const std::function<std::string(const char *)> & value_of_;
    plan_loader load_;
    std::string reference_;
    std::string layers_;
    std::string dynamic_;
    environment_plan result_;
};

}  // namespace

environment_plan plan_of_environment(const std::function<std::string(const char * name)> & value_of, plan_loader load) {
    return environment_reader(value_of, load).read();
}

std::string shown_value(std::string_view value) {
    constexpr size_t k_longest = 80;
    std::string text = "\"";
    for (const char c : value.substr(0, k_longest)) {
        text += c >= ' ' && c <= '~' ? c : '?';
    }
    return text += value.size() > k_longest ? "...\"" : "\"";
}

parsed<int64_t> parse_whole_number(std::string_view text, int64_t least) {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < least || value > plan_limits::max_tokens) {
        return {0, "found " + shown_value(text) + ", expected a whole number from " + std::to_string(least) + " to " +
                       std::to_string(plan_limits::max_tokens)};
    }
    return {value, ""};
}

}  // namespace tmx
