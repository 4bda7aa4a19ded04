// cli/metrics/prompt_times.h -- how long prompts took, as a llama.cpp server says in its log.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>

namespace tmx {

// A prompt that was computed, from when a slot took it up to its first token. Tokens that were in the cache already
// are not among `n_tokens`.
struct prompt_time {
    int64_t n_tokens = 0;
    double seconds = 0;
};

// What a line of the log says of a request that has ended; none if it says no such thing. The words are the same in
// every llama.cpp since 2023.
std::optional<prompt_time> prompt_time_in(std::string_view line);

// Upper bounds of the histogram's buckets, in seconds; the last one has none.
constexpr std::array<double, 14> k_prompt_bounds = {0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320};

struct prompt_sums {
    int64_t n_prompts = 0;
    int64_t n_tokens = 0;
    double seconds = 0;
    std::array<int64_t, k_prompt_bounds.size()> up_to{};  // prompts that took no longer than each bound
};

// THREADS  Any thread.
class prompt_times {
  public:
    void count(const prompt_time & prompt);
    prompt_sums read() const;

  private:
    mutable std::mutex mutex_;
    prompt_sums sums_;
};

}  // namespace tmx
