#include "backend/backend_config.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <string_view>

namespace tmx {
namespace {

constexpr std::string_view k_prefix = "TRIANGLEMIX_";
constexpr std::string_view k_names[] = {
    "DISABLE",  "DYNAMIC",           "KERNEL",     "LAST", "LAYERS", "MIN_KEYS", "MIN_ROWS", "PLAN", "PRECISION",
    "PRODUCTS", "PRODUCTS_MIN_ROWS", "SCRATCH_MB", "SINK", "STATS",  "STATUS",   "STRICT",   "TAIL", "TRY_NEWER_GGML",
    "WINDOW"};  // keep sorted

std::string shown(std::string_view value) {
    constexpr size_t k_longest = 80;
    std::string text = "\"";
    for (const char c : value.substr(0, k_longest)) {
        text += c >= ' ' && c <= '~' ? c : '?';
    }
    return text += value.size() > k_longest ? "...\"" : "\"";
}

class config_reader {
  public:
    config_reader(std::span<const std::string> environment, plan_loader load) : load_(load) {
        for (const std::string & entry : environment) {
            const std::string_view text = entry;
            const size_t equals = text.find('=');
            if (text.starts_with(k_prefix) && equals != std::string_view::npos) {
                const std::string_view value = text.substr(equals + 1);
                values_[std::string(text.substr(k_prefix.size(), equals - k_prefix.size()))] = value;
            }
        }
        std::erase_if(values_, [](const auto & item) { return item.second.empty(); });
    }

    config_result read() {
        report_unknown_names();
        backend_config & config = result_.config;
        config.disabled = flag("DISABLE");
        config.strict = flag("STRICT");
        static_cast<void>(flag("TRY_NEWER_GGML"));  // for the library that loads this one (src/loader)
        if (const std::string * text = find("PRECISION")) {
            config.arithmetic = checked("PRECISION", parse_precision(*text));
        }
        if (const std::optional<int64_t> rows = number("MIN_ROWS", 1)) {
            config.min_rows = *rows;
        }
        if (const std::optional<int64_t> keys = number("MIN_KEYS", 1)) {
            config.min_keys = *keys;
        }
        config.scratch_mb = number("SCRATCH_MB", 0);
        config.kernel = text_of("KERNEL");
        config.products = products();
        config.products_min_rows = number("PRODUCTS_MIN_ROWS", 1);
        config.stats = text_of("STATS") == "0" ? "" : text_of("STATS");
        config.status = text_of("STATUS");
        read_plan();
        return std::move(result_);
    }

  private:
    const std::string * find(const std::string & name) const {
        const auto item = values_.find(name);
        return item == values_.end() ? nullptr : &item->second;
    }

    std::string text_of(const std::string & name) const {
        const std::string * text = find(name);
        return text != nullptr ? *text : "";
    }

    void bad(const std::string & name, const std::string & why) {
        std::string text(k_prefix);
        text += name;
        text += ": ";
        text += why;
        result_.problems.push_back({true, std::move(text)});
    }

    void report_unknown_names() {
        for (const auto & [name, value] : values_) {
            if (!std::binary_search(std::begin(k_names), std::end(k_names), name)) {
                std::string text = "unknown variable ";
                text += k_prefix;
                text += shown(name).substr(1);
                text.pop_back();
                text += "; known are";
                for (const std::string_view known : k_names) {
                    text += known == k_names[0] ? " " : ", ";
                    text += k_prefix;
                    text += known;
                }
                result_.problems.push_back({false, std::move(text)});
            }
        }
    }

    bool flag(const std::string & name) {
        const std::string value = text_of(name);
        if (value == "1" || value == "true" || value == "on" || value == "yes") {
            return true;
        }
        if (!value.empty() && value != "0" && value != "false" && value != "off" && value != "no") {
            bad(name, "found " + shown(value) + ", expected 1 or 0");
        }
        return false;
    }

    product_way products() {
        const std::string value = text_of("PRODUCTS");
        for (const product_way way :
             {product_way::off, product_way::fastest, product_way::host, product_way::f32, product_way::bf16}) {
            if (value == name_of(way)) {
                return way;
            }
        }
        if (!value.empty()) {
            bad("PRODUCTS", "found " + shown(value) + ", expected fastest, host, f32, bf16 or off");
        }
        return product_way::fastest;
    }

    std::optional<int64_t> number(const std::string & name, int64_t least) {
        const std::string * text = find(name);
        if (text == nullptr) {
            return std::nullopt;
        }
        constexpr int64_t k_most = std::numeric_limits<int32_t>::max();  // a position of llama.cpp is an int32
        int64_t value = 0;
        const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
        if (error != std::errc{} || end != text->data() + text->size() || value < least || value > k_most) {
            bad(name, "found " + shown(*text) + ", expected a whole number from " + std::to_string(least) + " to " +
                          std::to_string(k_most));
            return std::nullopt;
        }
        return value;
    }

    template <class T>
    std::optional<T> checked(const std::string & name, const parsed<T> & value) {
        if (!value.ok()) {
            bad(name, value.error);
            return std::nullopt;
        }
        return value.value;
    }

    void read_plan() {
        const std::string * reference = find("PLAN");
        const std::string * layers = find("LAYERS");
        const std::string * dynamic = find("DYNAMIC");
        if (reference != nullptr && (layers != nullptr || dynamic != nullptr)) {
            const std::string other = layers != nullptr ? "LAYERS" : "DYNAMIC";
            bad("PLAN", "TRIANGLEMIX_" + other + " is set as well; use one of the two");
            return;
        }
        warn_without_effect(layers != nullptr, dynamic != nullptr);
        if (reference != nullptr) {
            result_.config.chosen = checked("PLAN", load_(*reference));
        }
        if (layers == nullptr && dynamic == nullptr) {
            return;
        }
        const size_t problems_before = result_.problems.size();
        plan made;
        made.shape.n_sink = number("SINK", 0).value_or(made.shape.n_sink);
        made.shape.n_window = number("WINDOW", 1).value_or(made.shape.n_window);
        made.shape.n_last = number("LAST", 0).value_or(made.shape.n_last);
        if (const std::string * tail = find("TAIL")) {
            made.tail = checked("TAIL", parse_tail_policy(*tail)).value_or(made.tail);
        }
        if (layers != nullptr) {
            add_layers(*layers, made);
        }
        if (dynamic != nullptr) {
            add_dynamic(*dynamic, made);
        }
        if (result_.problems.size() == problems_before) {  // half a plan is none
            result_.config.chosen = std::move(made);
        }
    }

    void warn_without_effect(bool any_layers, bool any_dynamic) {
        for (const char * name : {"SINK", "WINDOW", "LAST", "TAIL"}) {
            const bool of_bands = name == std::string_view("SINK") || name == std::string_view("WINDOW");
            if (find(name) != nullptr && !any_layers && (of_bands || !any_dynamic)) {
                const char * needed = of_bands ? "TRIANGLEMIX_LAYERS" : "TRIANGLEMIX_LAYERS or TRIANGLEMIX_DYNAMIC";
                result_.problems.push_back({false, std::string(k_prefix) + name + " has no effect without " + needed});
            }
        }
    }

    static layer_plan & layer_of(plan & made, int32_t layer) {
        made.layers.resize(std::max(made.layers.size(), static_cast<size_t>(layer) + 1));
        return made.layers[static_cast<size_t>(layer)];
    }

    void add_layers(const std::string & text, plan & made) {
        made.name = "TRIANGLEMIX_LAYERS=" + text;
        if (const auto set = checked("LAYERS", parse_layer_set(text, -1))) {
            for (const int32_t layer : *set) {
                layer_of(made, layer).kind = layer_kind::triangle;
            }
        }
    }

    void add_dynamic(const std::string & text, plan & made) {
        if (!made.name.empty()) {
            made.name += ' ';
        }
        made.name += "TRIANGLEMIX_DYNAMIC=";
        made.name += text;
        if (const auto wanted = checked("DYNAMIC", parse_dynamic_layers(text, -1))) {
            for (const int32_t layer : wanted->layers) {
                layer_of(made, layer).dynamic = 0;
            }
            if (!wanted->layers.empty()) {
                made.dynamic.push_back(wanted->rule);
            }
        }
    }

    plan_loader load_;
    std::map<std::string, std::string, std::less<>> values_;
    config_result result_;
};

}  // namespace

const char * name_of(product_way way) {
    switch (way) {
        case product_way::off:
            return "off";
        case product_way::fastest:
            return "fastest";
        case product_way::host:
            return "host";
        case product_way::f32:
            return "f32";
        case product_way::bf16:
            return "bf16";
    }
    return "unknown";
}

bool config_result::any_bad_value() const {
    return std::any_of(problems.begin(), problems.end(), [](const config_problem & p) { return p.bad_value; });
}

config_result read_config(std::span<const std::string> environment, plan_loader load) {
    return config_reader(environment, load).read();
}

std::vector<std::string> process_environment() {
    std::vector<std::string> entries;
    for (char ** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        if (std::string_view(*entry).starts_with(k_prefix)) {
            entries.emplace_back(*entry);
        }
    }
    return entries;
}

}  // namespace tmx
