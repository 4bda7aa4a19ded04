#include "cli/metrics/metrics_text.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

namespace tmx {
namespace {

// What a label's value may not hold as it is.
std::string escaped(std::string_view value) {
    std::string text;
    for (const char letter : value) {
        if (letter == '\n') {
            text += "\\n";
            continue;
        }
        if (letter == '\\' || letter == '"') {
            text += '\\';
        }
        text += letter;
    }
    return text;
}

using label = std::pair<const char *, std::string>;

class metrics_writer {
  public:
    // What the lines that follow are about.
    void family(const char * name, const char * type, const char * help) {
        name_ = name;
        text_ += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name, type, help);
    }

    template <class number>
    void value(std::initializer_list<label> labels, number value, const char * suffix = "") {
        text_ += name_;
        text_ += suffix;
        const char * before = "{";
        for (const auto & [name, content] : labels) {
            text_ += fmt::format("{}{}=\"{}\"", before, name, escaped(content));
            before = ",";
        }
        text_ += labels.size() > 0 ? "} " : " ";
        text_ += fmt::format("{}\n", value);
    }

    std::string take() { return std::move(text_); }

  private:
    std::string name_;
    std::string text_;
};

void write_prompts(metrics_writer & out, const prompt_sums & prompts) {
    out.family("trianglemix_time_to_first_token_seconds", "histogram",
               "Time from when a slot takes a request to its first token, of requests that have ended.");
    for (size_t i = 0; i < k_prompt_bounds.size(); ++i) {
        out.value({{"le", fmt::format("{}", k_prompt_bounds[i])}}, prompts.up_to[i], "_bucket");
    }
    out.value({{"le", "+Inf"}}, prompts.n_prompts, "_bucket");
    out.value({}, prompts.seconds, "_sum");
    out.value({}, prompts.n_prompts, "_count");
    out.family("trianglemix_prompt_tokens_total", "counter",
               "Prompt tokens computed for requests that have ended, without those from the cache.");
    out.value({}, prompts.n_tokens);
    out.family("trianglemix_prompt_seconds_total", "counter",
               "Time that slots spent on the prompts of requests that have ended, summed over slots.");
    out.value({}, prompts.seconds);
}

// A number of `from`, 0 where another version of the backend has none.
double number_of(const nlohmann::json & from, const char * name) {
    const auto found = from.find(name);
    return found != from.end() && found->is_number() ? found->get<double>() : 0;
}

std::string text_of(const nlohmann::json & from, const char * name) {
    const auto found = from.find(name);
    return found != from.end() && found->is_string() ? found->get<std::string>() : "";
}

// An object within `from`; one without members where another version of the backend has none.
nlohmann::json object_of(const nlohmann::json & from, const char * name) {
    const auto found = from.find(name);
    return found != from.end() && found->is_object() ? *found : nlohmann::json::object();
}

void write_info(metrics_writer & out, const std::vector<process_counts> & processes) {
    out.family("trianglemix_info", "gauge", "1 for each process with the backend in it, with what it computes with.");
    for (const auto & [pid, statistics] : processes) {
        out.value({{"pid", pid},
                   {"version", text_of(statistics, "version")},
                   {"ggml_version", text_of(statistics, "ggml_version")},
                   {"kernel", text_of(statistics, "kernel")},
                   {"precision", text_of(statistics, "precision")},
                   {"plan", text_of(statistics, "plan")}},
                  1);
    }
}

void write_pairs(metrics_writer & out, const std::vector<process_counts> & processes) {
    out.family("trianglemix_attention_pairs_total", "counter",
               "Query-key pairs of prompts, summed over heads, by what the layer was for its rows.");
    for (const auto & [pid, statistics] : processes) {
        const nlohmann::json kinds = object_of(statistics, "kind_pairs");
        for (const auto & [kind, pairs] : kinds.items()) {
            out.value({{"pid", pid}, {"kind", kind}, {"state", "computed"}},
                      number_of(pairs, "kept") + number_of(pairs, "masked"));
            out.value({{"pid", pid}, {"kind", kind}, {"state", "skipped"}}, number_of(pairs, "skipped"));
        }
    }
}

// A count for each member of an object of the statistics.
void write_members(metrics_writer & out, const std::vector<process_counts> & processes, const char * object,
                   const char * label_name) {
    for (const auto & [pid, statistics] : processes) {
        const nlohmann::json members = object_of(statistics, object);
        for (const auto & [member, count] : members.items()) {
            out.value({{"pid", pid}, {label_name, member}}, number_of(members, member.c_str()));
        }
    }
}

double product_seconds(const nlohmann::json & statistics) {
    double seconds = 0;
    for (const nlohmann::json & computed :
         object_of(statistics, "products").value("computed", nlohmann::json::array())) {
        seconds += number_of(computed, "seconds");
    }
    return seconds;
}

}  // namespace

std::string metrics_text(const prompt_sums & prompts, const std::vector<process_counts> & processes) {
    metrics_writer out;
    write_prompts(out, prompts);
    write_info(out, processes);
    write_pairs(out, processes);
    out.family("trianglemix_attention_nodes_total", "counter",
               "Attention nodes (a layer of a ubatch) computed by the backend, by what the layer was for its rows.");
    write_members(out, processes, "nodes", "kind");
    out.family("trianglemix_fallbacks_total", "counter",
               "Attention nodes in which something that was asked for was computed exactly instead, by reason.");
    write_members(out, processes, "fallbacks", "reason");
    out.family("trianglemix_attention_seconds_total", "counter", "Time in the backend's attention kernels.");
    for (const auto & [pid, statistics] : processes) {
        out.value({{"pid", pid}}, number_of(statistics, "seconds"));
    }
    out.family("trianglemix_product_seconds_total", "counter", "Time in the backend's matrix products.");
    for (const auto & [pid, statistics] : processes) {
        out.value({{"pid", pid}}, product_seconds(statistics));
    }
    return out.take();
}

}  // namespace tmx
