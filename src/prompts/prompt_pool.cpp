#include "prompts/prompt_pool.h"

#include <algorithm>

namespace tmx {
namespace {

// Whether the model's chat template belongs around any of them.
bool wants_template(const prompt_settings & settings) {
    return !settings.kinds.empty() ||
           std::any_of(settings.data.begin(), settings.data.end(),
                       [](const data_prompt & p) { return p.ids.empty() && p.chat_template; });
}

}  // namespace

prompt_pool::prompt_pool(const model & m, const prompt_settings & settings) : specs_(list_prompts(settings)) {
    for (const prompt_spec & spec : specs_) {
        made_.push_back(make_prompt(m, settings, spec));
    }
    if (wants_template(settings)) {
        // Whether there is a template that llama.cpp knows depends on the model alone.
        const prompt_tokens any = m.tokenise_prompt("");
        if (!any.templated) {
            notes_.push_back(any.note);
        }
    }
}

std::vector<size_t> prompt_pool::numbers(bool held_out) const {
    std::vector<size_t> found;
    for (size_t i = 0; i < specs_.size(); ++i) {
        if (specs_[i].held_out == held_out) {
            found.push_back(i);
        }
    }
    return found;
}

}  // namespace tmx
