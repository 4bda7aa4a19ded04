#include "identity/attention_windows.h"

#include <algorithm>
#include <iterator>
#include <optional>

namespace tmx {
namespace {

constexpr int64_t k_most_layers = 1 << 16;  // more than any model has

// llama.cpp's own rules, in src/models/. Files of all other architectures may hold the keys, too (Mistral's, Phi 3's);
// llama.cpp reads none of them there.
struct window_rule {
    const char * architecture;
    int64_t period;           // every so many layers one sees everything; 0: none does, but for what the file lists
    bool full_first;          // the first of a period, else the last
    int64_t window;           // where the file names none; 0: then there are no windows
    bool fixed = false;       // the file's own counts only where it is 0
    int64_t only_layers = 0;  // models of that many layers only; 0: all
};
constexpr window_rule k_rules[] = {
    {"afmoe", 4, false, 0},        {"cohere2", 4, false, 0},      {"cohere2moe", 4, true, 0},
    {"dots3note", 0, false, 0},    {"exaone-moe", 4, false, 128}, {"exaone4", 4, false, 4096, false, 64},
    {"gemma2", 2, false, 4096},    {"gemma3", 6, false, 0},       {"gemma3n", 5, false, 0},
    {"gemma4", 0, false, 0},       {"gpt-oss", 2, false, 0},      {"granite_swa", 0, false, 0},
    {"laguna", 4, true, 0},        {"lfm2", 0, false, 0},         {"llama4", 4, false, 8192, true},
    {"maple", 0, false, 0},        {"mellum", 4, false, 0},       {"mimo2", 0, false, 0},
    {"muse-glimmer", 4, false, 0}, {"olmo2", 4, false, 0},        {"plamo3", 8, false, 0},
    {"smallthinker", 4, true, 0},  {"spark2_5", 0, false, 0},     {"step35", 0, false, 0},
};

}  // namespace

std::vector<int32_t> attention_windows(const gguf_header & file) {
    const std::string architecture = file.text("general.architecture");
    const auto * rule = std::find_if(std::begin(k_rules), std::end(k_rules),
                                     [&](const window_rule & each) { return architecture == each.architecture; });
    if (rule == std::end(k_rules)) {
        return {};
    }
    const int64_t n_layer = file.number(architecture + ".block_count").value_or(0);
    const std::optional<int64_t> named = file.number(architecture + ".attention.sliding_window");
    const int64_t window = rule->fixed && named != 0 ? rule->window : named.value_or(rule->window);
    const bool other_model = rule->only_layers > 0 && rule->only_layers != n_layer;
    if (n_layer < 1 || n_layer > k_most_layers || window < 1 || window > INT32_MAX || other_model) {
        return {};
    }
    const std::string pattern = architecture + ".attention.sliding_window_pattern";
    const std::vector<int64_t> listed = file.numbers(pattern);
    const int64_t period = file.number(pattern).value_or(rule->period);
    std::vector<int32_t> windows;
    for (int64_t layer = 0; layer < n_layer; ++layer) {
        const int64_t full = rule->full_first ? 0 : period - 1;
        bool windowed = period < 1 || layer % period != full;
        if (!listed.empty()) {
            windowed = layer < static_cast<int64_t>(listed.size()) && listed[static_cast<size_t>(layer)] != 0;
        }
        windows.push_back(windowed ? static_cast<int32_t>(window) : 0);
    }
    return windows;
}

std::vector<int32_t> attention_windows(const std::string & path) {
    const parsed<gguf_header> read = gguf_header::read(path);
    return read.ok() ? attention_windows(read.value) : std::vector<int32_t>();
}

}  // namespace tmx
