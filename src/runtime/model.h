// runtime/model.h -- a GGUF model: its weights, tokeniser and chat template. Wraps libllama.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "identity/model_identity.h"
#include "runtime/chat.h"

struct llama_model;

namespace tmx {

using token_id = int32_t;

struct model_facts : model_identity {
    std::string file_type;  // "Q8_0", ...
    int32_t n_vocab = 0;
    uint64_t weight_bytes = 0;
    uint64_t n_params = 0;
};

// What a prompt became.
struct prompt_tokens {
    std::vector<token_id> ids;
    bool templated = false;     // the model's chat template was applied
    std::string note;           // not empty: why not
    size_t n_plain_behind = 0;  // bytes behind the last turn's text that no control token stands for
};

// ERRORS   failure, with what llama.cpp said.
// THREADS  Constant functions may be called from any thread.
class model {
  public:
    // progress: share loaded, 0..1; return false to stop (then `interrupted` is thrown). May be empty.
    // weights: false reads the header, vocabulary and metadata only (for `info`).
    // devices: all layers go to that GPU device of ggml; to several, with commas between, goes a part of each layer
    // (llama.cpp's tensor split); "": everything stays on the CPU.
    // ERRORS failure: no such device.
    explicit model(const std::string & path, const std::function<bool(float)> & progress = {}, bool weights = true,
                   const std::string & devices = "");

    const model_facts & facts() const { return facts_; }
    llama_model * handle() const { return model_.get(); }

    // The text as one user message in the model's chat template, ready for the answer (or as it is, when `raw` or when
    // llama.cpp does not know the template: then `note` says so). The template's control tokens become control tokens;
    // the text never does, whatever it contains. Begins with exactly one BOS if the model wants one.
    prompt_tokens tokenise_prompt(const std::string & text, bool raw = false) const;

    // The same of several turns, in order, and with `answer_prefix` as the beginning of the model's own turn. `raw`:
    // the turns' texts one behind the other.
    prompt_tokens tokenise_chat(const std::vector<chat_turn> & turns, const std::string & answer_prefix,
                                bool raw) const;

    // Plain text, no control tokens, no BOS. ERRORS failure: the file has no tokeniser.
    std::vector<token_id> tokenise(std::string_view text) const;

    std::string piece(token_id token) const;  // its bytes; control tokens are ""
    std::string text(const std::vector<token_id> & tokens) const;
    bool ends_answer(token_id token) const;  // any of the model's end-of-generation tokens

  private:
    struct free_model {
        void operator()(llama_model * model) const;
    };
    std::unique_ptr<llama_model, free_model> model_;
    model_facts facts_;
    std::vector<std::pair<std::string, token_id>> control_tokens_;  // longest text first

    void read_facts(const std::string & path, bool weights);
};

}  // namespace tmx
