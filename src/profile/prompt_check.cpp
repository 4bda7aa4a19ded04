#include "profile/prompt_check.h"

#include <fmt/core.h>

#include <algorithm>

#include "probe/section_sums.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr int64_t k_longest_default = 8192;
constexpr int64_t k_longest_quick = 2048;

bool has_middle(int64_t n_tokens, const triangle_shape & shape) {
    return section_pairs(shape, n_tokens)[index_of(section::middle)] > 0;
}

std::string least_length(const triangle_shape & s) {
    return fmt::format("sink + window + last are {}: give prompts of more tokens, or smaller --sink, --window, --last",
                       s.n_sink + s.n_window + s.n_last);
}

void check_held_out(const profile_settings & settings) {
    const char * wanted = settings.how == choose_by::kl_budget ? "--kl-budget"
                          : settings.yardsticks                ? "--yardsticks"
                                                               : nullptr;
    if (wanted != nullptr) {
        throw failure(fmt::format(
            "{} needs prompts that are kept back to check the choice, and there are none: of --data every third line "
            "is kept back, so give three or more, or made prompts beside it (--builtin), and --check-samples 1 or more",
            wanted));
    }
}

}  // namespace

std::vector<prompt_size> sizes_of(const prompt_pool & prompts) {
    std::vector<prompt_size> sizes;
    for (size_t i = 0; i < prompts.specs().size(); ++i) {
        sizes.push_back({prompts.specs()[i].name(), prompts.n_tokens(i), prompts.specs()[i].held_out});
    }
    return sizes;
}

std::vector<int64_t> default_lengths(const profile_settings & settings, int64_t n_ctx_train) {
    const int64_t limit = settings.n_ctx > 0 ? settings.n_ctx : n_ctx_train;
    const int64_t room =
        std::min(limit - settings.n_following - 1, settings.quick ? k_longest_quick : k_longest_default);
    const int64_t longest = std::max(room >= 1024 ? room / 128 * 128 : room, k_shortest_made_prompt);
    const int64_t half = longest / 2;
    if (settings.quick || half < k_shortest_made_prompt || !has_middle(half, settings.shape)) {
        return {longest};
    }
    return {half, longest};
}

void check_fits(const std::string & what, int64_t n_tokens, const profile_settings & settings, int64_t n_ctx_train) {
    const int64_t limit = settings.n_ctx > 0 ? settings.n_ctx : n_ctx_train;
    if (n_tokens + settings.n_following + 1 > limit) {
        throw failure(fmt::format("{}: {} tokens and {} following ones are more than {}", what, n_tokens,
                                  settings.n_following,
                                  settings.n_ctx > 0 ? fmt::format("the {} of --ctx", limit)
                                                     : fmt::format("the {} that the model was trained for", limit)));
    }
}

std::vector<std::string> check_prompts(std::span<const prompt_size> prompts, const profile_settings & settings,
                                       int64_t n_ctx_train) {
    std::vector<std::string> notes;
    for (const bool held_out : {false, true}) {
        int64_t n_prompts = 0;
        int64_t n_telling = 0;
        for (const prompt_size & prompt : prompts) {
            if (prompt.held_out != held_out) {
                continue;
            }
            check_fits(prompt.name, prompt.n_tokens, settings, n_ctx_train);
            const bool telling = has_middle(prompt.n_tokens, settings.shape);
            ++n_prompts;
            n_telling += telling ? 1 : 0;
            if (!telling) {
                notes.push_back(fmt::format("{} has {} tokens, within sink + window + last: it tells nothing",
                                            prompt.name, prompt.n_tokens));
            }
        }
        if (n_prompts > 0 && n_telling == 0) {
            throw failure(
                fmt::format("a triangle layer skips nothing in any of the {} prompts that {}, so every layer "
                            "would look harmless. {}",
                            n_prompts, held_out ? "check the choice" : "choose", least_length(settings.shape)));
        }
        if (held_out && n_prompts == 0) {
            check_held_out(settings);
        }
    }
    if (settings.n_ctx > n_ctx_train) {
        notes.push_back(fmt::format("a context of {} is longer than the {} that the model was trained for",
                                    settings.n_ctx, n_ctx_train));
    }
    return notes;
}

}  // namespace tmx
