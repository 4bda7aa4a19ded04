#include "profile/prompt_pool.h"

namespace tmx {

prompt_pool::prompt_pool(const model & m, const prompt_settings & settings)
    : model_(m), settings_(settings), specs_(list_prompts(settings)) {}

std::vector<size_t> prompt_pool::numbers(bool held_out) const {
    std::vector<size_t> found;
    for (size_t i = 0; i < specs_.size(); ++i) {
        if (specs_[i].held_out == held_out) {
            found.push_back(i);
        }
    }
    return found;
}

const probe_prompt & prompt_pool::prompt(size_t number) {
    const auto found = made_.find(number);
    return found != made_.end() ? found->second
                                : made_.emplace(number, make_prompt(model_, settings_, specs_[number])).first->second;
}

}  // namespace tmx
