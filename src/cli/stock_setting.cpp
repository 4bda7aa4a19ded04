#include "cli/stock_setting.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "cli/prefill_progress.h"
#include "cli/terminal.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr int32_t k_most_ubatch = 1 << 20;

// Thrown out of a prefill that can no longer be the fastest.
struct given_up {
    double seconds;
};

// Bytes of the scores that a layer without flash attention writes down, rows times keys of each head.
double score_bytes(const model_facts & facts, const prompt_setup & prompt, const stock_setting & setting) {
    const int32_t n_rows = std::min(setting.n_ubatch, prompt.context.n_ctx);
    return setting.flash_attention ? 0 : 4.0 * facts.n_head * n_rows * prompt.context.n_ctx;
}

std::string what_happened(const stock_try & one) {
    return !one.left_out.empty() ? "left out, " + one.left_out
           : one.finished        ? show_seconds(one.seconds)
                                 : "given up after " + show_seconds(one.seconds);
}

}  // namespace

std::string show_setting(const stock_setting & setting) {
    return fmt::format("fa {}, ub {}", setting.flash_attention ? "on" : "off", setting.n_ubatch);
}

std::optional<stock_setting> parse_stock_setting(const std::string & text) {
    const size_t dash = text.find('-');
    const std::string flash_attention = text.substr(0, dash);
    if (dash == std::string::npos || (flash_attention != "on" && flash_attention != "off")) {
        return std::nullopt;
    }
    stock_setting setting{flash_attention == "on", 0};
    const char * const last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data() + dash + 1, last, setting.n_ubatch);
    const bool good = error == std::errc() && end == last && setting.n_ubatch >= 1 && setting.n_ubatch <= k_most_ubatch;
    return good ? std::optional(setting) : std::nullopt;
}

CLI::Option * add_stock_option(CLI::App & app, std::string & stock) {
    const auto check = [](const std::string & text) {
        return text == "best" || parse_stock_setting(text)
                   ? std::string()
                   : "'" + text + "' is neither best nor a setting like on-512 (flash attention, ubatch)";
    };
    return shown(app.add_option("--stock", stock,
                                "stock's setting: the fastest for this prompt, found by trying, or flash attention and "
                                "ubatch, e.g. on-512")
                     ->check(check),
                 "best|on-UB|off-UB", "best");
}

std::vector<stock_setting> stock_candidates(int64_t n_prompt, int32_t our_ubatch) {
    std::vector<int32_t> ubatches = {512, 2048, our_ubatch};
    std::sort(ubatches.begin(), ubatches.end());
    ubatches.erase(std::unique(ubatches.begin(), ubatches.end()), ubatches.end());
    const auto whole = std::find_if(ubatches.begin(), ubatches.end(), [&](int32_t n) { return n >= n_prompt; });
    if (whole != ubatches.end()) {
        ubatches.erase(whole + 1, ubatches.end());
    }
    std::vector<stock_setting> candidates;
    for (const int32_t n_ubatch : ubatches) {
        for (const bool flash_attention : {true, false}) {
            candidates.push_back({flash_attention, n_ubatch});
        }
    }
    return candidates;
}

double least_seconds(const std::vector<double> & end_token, const std::vector<double> & seconds, double n_tokens) {
    if (end_token.empty() || end_token.size() != seconds.size() || end_token.back() < n_tokens / 4) {
        return 0;
    }
    const double done = end_token.back();
    // The later half of what is done, or a little more: from where the last chunk ends that lies in the first half.
    double from = 0;
    double start = 0;
    for (size_t i = 0; i < end_token.size() && end_token[i] <= done / 2; ++i) {
        from = end_token[i];
        start = seconds[i];
    }
    return seconds.back() + (n_tokens - done) * (seconds.back() - start) / (done - from);
}

std::string stock_search::text() const {
    std::string text;
    for (const stock_try & one : tried) {
        text += (text.empty() ? "" : "; ") + show_setting(one.setting) + ": " + what_happened(one);
    }
    return text;
}

nlohmann::ordered_json stock_search::json() const {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const stock_try & one : tried) {
        nlohmann::ordered_json j;
        j["setting"] = show_setting(one.setting);
        if (!one.left_out.empty()) {
            j["left_out"] = one.left_out;
        } else {
            j[one.finished ? "ttft_s" : "given_up_after_s"] = one.seconds;
        }
        list.push_back(std::move(j));
    }
    return list;
}

stock_search find_fastest(const std::vector<stock_setting> & candidates,
                          const std::function<stock_try(const stock_setting &, double)> & run_one) {
    stock_search search;
    double best = std::numeric_limits<double>::infinity();
    for (const stock_setting & candidate : candidates) {
        search.tried.push_back(run_one(candidate, best));
        const stock_try & one = search.tried.back();
        if (one.finished && one.seconds < best) {
            best = one.seconds;
            search.fastest = search.tried.size() - 1;
        }
    }
    if (best == std::numeric_limits<double>::infinity()) {
        throw failure("stock llama.cpp computed the prompt with none of its settings: " + search.text());
    }
    return search;
}

stock_search find_fastest_stock(backend & b, arm_models & models, const prompt_setup & prompt) {
    const auto n_prompt = static_cast<int64_t>(prompt.ids.size());
    const std::vector<stock_setting> candidates = stock_candidates(n_prompt, prompt.context.n_ubatch);
    size_t n_begun = 0;
    const auto run_one = [&](const stock_setting & setting, double best) {
        ++n_begun;
        stock_try one{setting, 0, false, ""};
        const arm candidate = stock_arm(prompt, setting);
        const auto bytes_free = static_cast<double>(backend::memory_of(models.device_of(candidate)).n_free);
        const double bytes = score_bytes(models.facts(), prompt, setting);
        if (bytes > bytes_free / 4) {
            one.left_out = fmt::format("its scores would take {:.0f} GB of memory", bytes / 1e9);
            return one;
        }
        std::unique_ptr<session> s;
        try {
            s = open_arm(b, models.of(candidate), candidate);
        } catch (const failure & error) {
            one.left_out = error.what();
            return one;
        }
        prefill_progress progress(
            fmt::format("stock's fastest setting, {} of {}: {}", n_begun, candidates.size(), show_setting(setting)),
            n_prompt);
        std::vector<double> end_token;
        std::vector<double> seconds;
        const double start = seconds_now();
        const auto after_chunk = [&](int64_t n) {
            progress.done(n);
            end_token.push_back(static_cast<double>(n));
            seconds.push_back(seconds_now() - start);
            if (n < n_prompt && least_seconds(end_token, seconds, static_cast<double>(n_prompt)) > best) {
                throw given_up{seconds.back()};
            }
        };
        try {
            one.seconds = prefill_arm(b, candidate, *s, prompt.ids, after_chunk).seconds;
            one.finished = true;
        } catch (const given_up & enough) {
            one.seconds = enough.seconds;
        }
        return one;
    };
    stock_search search = find_fastest(candidates, run_one);
    fmt::print(stderr, "stock is fastest with {} ({})\n", show_setting(search.winner()), search.text());
    return search;
}

}  // namespace tmx
