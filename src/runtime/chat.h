// runtime/chat.h -- a conversation as a model's chat template takes it.
#pragma once

#include <string>

namespace tmx {

struct chat_turn {
    std::string role;  // "system", "user", "assistant"
    std::string text;
};

}  // namespace tmx
