#include "cli/metrics/prompt_times.h"

#include <algorithm>
#include <charconv>

namespace tmx {
namespace {

// The number that stands next in `text`, behind blanks, if `unit` follows it; both are then taken away.
template <class number>
std::optional<number> take(std::string_view & text, std::string_view unit) {
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    number value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    const bool sensible = value >= 0 && value < number{1'000'000'000};  // "nan" is a number to from_chars()
    if (error != std::errc() || !sensible || !text.starts_with(unit)) {
        return std::nullopt;
    }
    text.remove_prefix(unit.size());
    return value;
}

}  // namespace

std::optional<prompt_time> prompt_time_in(std::string_view line) {
    constexpr std::string_view k_words = "prompt eval time =";
    const size_t at = line.find(k_words);
    // Sums over a context's life begin with the same words, behind the name of another function.
    if (at == std::string_view::npos || line.substr(0, at).find("perf_") != std::string_view::npos) {
        return std::nullopt;
    }
    line.remove_prefix(at + k_words.size());
    const std::optional<double> milliseconds = take<double>(line, " ms /");
    const std::optional<int64_t> n_tokens = milliseconds ? take<int64_t>(line, " tokens") : std::nullopt;
    if (!n_tokens) {
        return std::nullopt;
    }
    return prompt_time{.n_tokens = *n_tokens, .seconds = *milliseconds / 1e3};
}

void prompt_times::count(const prompt_time & prompt) {
    const std::lock_guard lock(mutex_);
    sums_.n_prompts++;
    sums_.n_tokens += prompt.n_tokens;
    sums_.seconds += prompt.seconds;
    for (size_t i = 0; i < k_prompt_bounds.size(); ++i) {
        sums_.up_to[i] += prompt.seconds <= k_prompt_bounds[i];
    }
}

prompt_sums prompt_times::read() const {
    const std::lock_guard lock(mutex_);
    return sums_;
}

}  // namespace tmx
