#include "backend/backend_config.h"

#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

namespace tmx {
namespace {

constexpr std::string_view k_prefix = "TRIANGLEMIX_";
constexpr std::string_view k_names[] = {
    "CPU_PROXY", "DISABLE",    "DYNAMIC",        "KERNEL",    "LAST",         "LAYERS",
    "MIN_KEYS",  "MIN_ROWS",   "PLAN",           "PRECISION", "PRODUCTS",     "PRODUCTS_MIN_ROWS",
    "RPC",       "SCRATCH_MB", "SINK",           "STATS",     "STATS_SOCKET", "STATUS",
    "STRICT",    "TAIL",       "TRY_NEWER_GGML", "WINDOW"};  // keep sorted

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
        config.cpu_proxy = flag("CPU_PROXY");
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
        config.rpc = text_of("RPC");
        config.stats = text_of("STATS") == "0" ? "" : text_of("STATS");
        config.stats_socket = text_of("STATS_SOCKET");
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
                text += shown_value(name).substr(1);
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
            bad(name, "found " + shown_value(value) + ", expected 1 or 0");
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
            bad("PRODUCTS", "found " + shown_value(value) + ", expected fastest, host, f32, bf16 or off");
        }
        return product_way::fastest;
    }

    std::optional<int64_t> number(const std::string & name, int64_t least) {
        const std::string * text = find(name);
        return text != nullptr ? checked(name, parse_whole_number(*text, least)) : std::nullopt;
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
        environment_plan read = plan_of_environment([&](const char * name) { return text_of(name); }, load_);
        result_.config.chosen = std::move(read.chosen);
        std::move(read.problems.begin(), read.problems.end(), std::back_inserter(result_.problems));
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
    return std::any_of(problems.begin(), problems.end(), [](const environment_problem & p) { return p.bad_value; });
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
