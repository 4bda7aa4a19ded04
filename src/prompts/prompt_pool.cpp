#include "prompts/prompt_pool.h"

#include <algorithm>
#include <iterator>

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
        if (spec.question == 0) {
            std::vector<probe_prompt> about_one_context = make_prompts(m, settings, spec);
            std::move(about_one_context.begin(), about_one_context.end(), std::back_inserter(made_));
        }
    }
    if (wants_template(settings)) {
        // Whether there is a template that llama.cpp knows depends on the model alone.
        const prompt_tokens any = m.tokenise_prompt("");
        if (!any.templated) {
            notes_.push_back(any.note);
        }
    }
}

std::vector<size_t> prompt_pool::about_context_of(size_t number) const {
    std::vector<size_t> found = {number - static_cast<size_t>(specs_[number].question)};
    while (found.back() + 1 < specs_.size() && specs_[found.back() + 1].question > 0) {
        found.push_back(found.back() + 1);
    }
    return found;
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
