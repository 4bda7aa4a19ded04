// The half of runtime/model.h that puts texts into a model's chat template.
#include <llama.h>

#include <algorithm>
#include <string_view>

#include "runtime/model.h"

namespace tmx {
namespace {

struct segment {
    std::string text;
    bool from_template;  // its control tokens are control tokens
};

// Stands for a turn's text while the template is rendered; no template or tokeniser knows it.
std::string placeholder(size_t turn) {
    return "\x01turn-" + std::to_string(turn) + "\x01";
}

// The template around the turns, ready for the model's own. Empty: llama.cpp does not know the template.
std::vector<segment> render_template(const char * chat_template, const std::vector<chat_turn> & turns) {
    std::vector<std::string> texts;
    std::vector<llama_chat_message> messages;
    for (size_t i = 0; i < turns.size(); ++i) {
        texts.push_back(placeholder(i));
    }
    for (size_t i = 0; i < turns.size(); ++i) {
        messages.push_back({turns[i].role.c_str(), texts[i].c_str()});
    }
    const int32_t length = llama_chat_apply_template(chat_template, messages.data(), messages.size(), true, nullptr, 0);
    if (length < 0) {
        return {};
    }
    std::string rendered(static_cast<size_t>(length) + 1, '\0');
    llama_chat_apply_template(chat_template, messages.data(), messages.size(), true, rendered.data(),
                              static_cast<int32_t>(rendered.size()));
    rendered.resize(static_cast<size_t>(length));
    std::vector<segment> segments;
    size_t begin = 0;
    for (size_t i = 0; i < turns.size(); ++i) {
        const size_t at = rendered.find(texts[i], begin);
        if (at == std::string::npos) {
            return {};
        }
        segments.push_back({rendered.substr(begin, at - begin), true});
        segments.push_back({turns[i].text, false});
        begin = at + texts[i].size();
    }
    segments.push_back({rendered.substr(begin), true});
    return segments;
}

}  // namespace

prompt_tokens model::tokenise_prompt(const std::string & text, bool raw) const {
    return tokenise_chat({{"user", text}}, "", raw);
}

prompt_tokens model::tokenise_chat(const std::vector<chat_turn> & turns, const std::string & answer_prefix,
                                   bool raw) const {
    prompt_tokens result;
    const llama_vocab * vocab = llama_model_get_vocab(model_.get());
    const char * chat_template = llama_model_chat_template(model_.get(), nullptr);
    std::vector<segment> segments;
    if (raw) {
        result.note = "plain text, as asked";
    } else if (chat_template == nullptr) {
        result.note = "the model file has no chat template; the prompt is plain text";
    } else {
        segments = render_template(chat_template, turns);
        result.templated = !segments.empty();
        result.note =
            result.templated ? "" : "llama.cpp does not know the model's chat template; the prompt is plain text";
    }
    if (!result.templated) {
        for (const chat_turn & turn : turns) {
            segments.push_back({turn.text, false});
        }
    }
    segments.push_back({answer_prefix, false});
    // What is plain between two control tokens is tokenised in one go: tokens may reach across its parts.
    std::string plain;
    const auto flush = [&] {
        if (!plain.empty()) {
            const std::vector<token_id> part = tokenise(plain);
            result.ids.insert(result.ids.end(), part.begin(), part.end());
            plain.clear();
        }
    };
    const size_t last_text = segments.size() - (result.templated ? 3 : 2);
    for (size_t i = 0; i < segments.size(); ++i) {
        const segment & part = segments[i];
        for (size_t at = 0; at < part.text.size();) {
            const auto found = std::find_if(control_tokens_.begin(), control_tokens_.end(), [&](const auto & control) {
                return part.from_template && part.text.compare(at, control.first.size(), control.first) == 0;
            });
            if (found != control_tokens_.end()) {
                flush();
                result.ids.push_back(found->second);
                at += found->first.size();
                continue;
            }
            const size_t n = part.from_template ? 1 : part.text.size();
            plain.append(part.text, at, n);
            at += n;
            result.n_plain_behind += i > last_text ? n : 0;
        }
    }
    flush();
    const token_id bos = llama_vocab_bos(vocab);
    if (llama_vocab_get_add_bos(vocab) && bos >= 0 && (result.ids.empty() || result.ids.front() != bos)) {
        result.ids.insert(result.ids.begin(), bos);
    }
    return result;
}

}  // namespace tmx
