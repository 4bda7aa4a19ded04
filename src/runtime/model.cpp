#include "runtime/model.h"

#include <llama.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "identity/attention_windows.h"
#include "runtime/backend.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

std::string metadata(const llama_model * model, const std::string & key) {
    const int32_t length = llama_model_meta_val_str(model, key.c_str(), nullptr, 0);
    if (length < 0) {
        return {};
    }
    std::string value(static_cast<size_t>(length) + 1, '\0');
    llama_model_meta_val_str(model, key.c_str(), value.data(), value.size());
    value.pop_back();
    return value;
}

int32_t metadata_number(const llama_model * model, const std::string & key, int32_t otherwise) {
    const std::string text = metadata(model, key);
    int32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? value : otherwise;
}

// Stands for the user's text while the template is rendered; no template or tokeniser knows it.
constexpr const char * k_placeholder = "\x01user-text\x01";

// The template around one user message: what comes before and after it. False: llama.cpp does not know the template.
bool render_template(const char * chat_template, std::string & before, std::string & after) {
    const llama_chat_message message{"user", k_placeholder};
    const int32_t length = llama_chat_apply_template(chat_template, &message, 1, true, nullptr, 0);
    if (length < 0) {
        return false;
    }
    std::string rendered(static_cast<size_t>(length) + 1, '\0');
    llama_chat_apply_template(chat_template, &message, 1, true, rendered.data(), static_cast<int32_t>(rendered.size()));
    rendered.resize(static_cast<size_t>(length));
    const size_t at = rendered.find(k_placeholder);
    if (at == std::string::npos) {
        return false;
    }
    before = rendered.substr(0, at);
    after = rendered.substr(at + std::string_view(k_placeholder).size());
    return true;
}

ggml_backend_dev_t gpu_named(const std::string & name) {
    const ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
    const auto is_gpu = [](ggml_backend_dev_t each) {
        const enum ggml_backend_dev_type type = ggml_backend_dev_type(each);
        return type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
    };
    if (device != nullptr && is_gpu(device)) {
        return device;
    }
    std::string there;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        if (is_gpu(ggml_backend_dev_get(i))) {
            there += there.empty() ? "" : ", ";
            there += ggml_backend_dev_name(ggml_backend_dev_get(i));
        }
    }
    throw failure("no GPU device " + name + " here; " +
                  (there.empty() ? "llama.cpp lists none (was it built with CUDA, and this program too?)"
                                 : "there are " + there));
}

}  // namespace

void model::free_model::operator()(llama_model * model) const {
    llama_model_free(model);
}

model::model(const std::string & path, const std::function<bool(float)> & progress, bool weights,
             const std::string & device) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) {
        throw failure(std::filesystem::exists(path, error) ? path + " is no regular file" : "no model file at " + path);
    }
    llama_model_params params = llama_model_default_params();
    // An empty device list is the CPU alone, not "all there are".
    ggml_backend_dev_t devices[] = {device.empty() ? nullptr : gpu_named(device), nullptr};
    params.devices = devices;
    params.n_gpu_layers = device.empty() ? 0 : -1;
    params.vocab_only = !weights;
    bool stopped = false;
    struct loading {
        const std::function<bool(float)> & progress;
        bool & stopped;
    } state{progress, stopped};
    if (progress) {
        params.progress_callback = [](float share, void * data) {
            auto & current = *static_cast<loading *>(data);
            current.stopped = !current.progress(share);
            return !current.stopped;
        };
        params.progress_callback_user_data = &state;
    }
    recent_log();
    model_.reset(llama_model_load_from_file(path.c_str(), params));
    if (stopped) {
        throw interrupted();
    }
    if (model_ == nullptr) {
        throw failure("llama.cpp could not load " + path + "\n" + recent_log());
    }
    read_facts(path, weights);
}

void model::read_facts(const std::string & path, bool weights) {
    const llama_model * m = model_.get();
    const llama_vocab * vocab = llama_model_get_vocab(m);
    facts_.path = path;
    facts_.name = metadata(m, "general.name");
    facts_.architecture = metadata(m, "general.architecture");
    const int32_t file_type = metadata_number(m, "general.file_type", -1);
    facts_.file_type = file_type < 0 ? "unknown type" : llama_ftype_name(static_cast<llama_ftype>(file_type));
    const std::string prefix = facts_.architecture + ".";
    // A header-only load leaves llama.cpp's own fields empty (asking for some of them ends the process), so the shape
    // comes from the metadata; what is an array there (one value a layer) only a whole load can tell.
    facts_.n_layer = metadata_number(m, prefix + "block_count", weights ? llama_model_n_layer(m) : 0);
    facts_.n_head = metadata_number(m, prefix + "attention.head_count", weights ? llama_model_n_head(m) : 0);
    facts_.n_head_kv =
        metadata_number(m, prefix + "attention.head_count_kv", weights ? llama_model_n_head_kv(m) : facts_.n_head);
    const int32_t n_embd = metadata_number(m, prefix + "embedding_length", weights ? llama_model_n_embd(m) : 0);
    facts_.d_head = metadata_number(m, prefix + "attention.key_length", facts_.n_head > 0 ? n_embd / facts_.n_head : 0);
    facts_.n_ctx_train = metadata_number(m, prefix + "context_length", weights ? llama_model_n_ctx_train(m) : 0);
    facts_.windows = attention_windows(path);
    // A whole load knows whether llama.cpp makes use of what the file says.
    if (weights && llama_model_n_swa(m) == 0) {
        facts_.windows.clear();
    }
    facts_.n_vocab = llama_vocab_n_tokens(vocab);
    facts_.weight_bytes = llama_model_size(m);
    facts_.n_params = llama_model_n_params(m);
    for (token_id token = 0; token < facts_.n_vocab; ++token) {
        const auto kind = static_cast<unsigned>(llama_vocab_get_attr(vocab, token));
        if ((kind & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_USER_DEFINED)) != 0) {
            const char * text = llama_vocab_get_text(vocab, token);
            if (text != nullptr && *text != '\0') {
                control_tokens_.emplace_back(text, token);
            }
        }
    }
    std::stable_sort(control_tokens_.begin(), control_tokens_.end(),
                     [](const auto & a, const auto & b) { return a.first.size() > b.first.size(); });
}

std::vector<token_id> model::tokenise(std::string_view text) const {
    const llama_vocab * vocab = llama_model_get_vocab(model_.get());
    std::vector<token_id> tokens(text.size() + 8);
    const int32_t n = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                                     static_cast<int32_t>(tokens.size()), false, false);
    if (n < 0) {
        throw failure("llama.cpp could not tokenise a text of " + std::to_string(text.size()) + " bytes");
    }
    tokens.resize(static_cast<size_t>(n));
    return tokens;
}

std::vector<token_id> model::tokenise_segments(const std::string & before, const std::string & text,
                                               const std::string & after) const {
    std::vector<token_id> ids;
    std::string plain;
    const auto flush = [&] {
        if (!plain.empty()) {
            const std::vector<token_id> part = tokenise(plain);
            ids.insert(ids.end(), part.begin(), part.end());
            plain.clear();
        }
    };
    const auto add_template = [&](const std::string & part) {
        for (size_t at = 0; at < part.size();) {
            const auto found = std::find_if(control_tokens_.begin(), control_tokens_.end(), [&](const auto & control) {
                return part.compare(at, control.first.size(), control.first) == 0;
            });
            if (found == control_tokens_.end()) {
                plain += part[at++];
            } else {
                flush();
                ids.push_back(found->second);
                at += found->first.size();
            }
        }
    };
    add_template(before);
    plain += text;
    add_template(after);
    flush();
    return ids;
}

prompt_tokens model::tokenise_prompt(const std::string & text, bool raw) const {
    prompt_tokens result;
    const llama_vocab * vocab = llama_model_get_vocab(model_.get());
    std::string before;
    std::string after;
    const char * chat_template = llama_model_chat_template(model_.get(), nullptr);
    if (raw) {
        result.note = "plain text, as asked";
    } else if (chat_template == nullptr) {
        result.note = "the model file has no chat template; the prompt is plain text";
    } else if (!render_template(chat_template, before, after)) {
        result.note = "llama.cpp does not know the model's chat template; the prompt is plain text";
    } else {
        result.templated = true;
    }
    result.ids = tokenise_segments(before, text, after);
    const token_id bos = llama_vocab_bos(vocab);
    if (llama_vocab_get_add_bos(vocab) && bos >= 0 && (result.ids.empty() || result.ids.front() != bos)) {
        result.ids.insert(result.ids.begin(), bos);
    }
    return result;
}

std::string model::piece(token_id token) const {
    const llama_vocab * vocab = llama_model_get_vocab(model_.get());
    std::string bytes(32, '\0');
    int32_t n = llama_token_to_piece(vocab, token, bytes.data(), static_cast<int32_t>(bytes.size()), 0, false);
    if (n < 0) {
        bytes.resize(static_cast<size_t>(-n));
        n = llama_token_to_piece(vocab, token, bytes.data(), static_cast<int32_t>(bytes.size()), 0, false);
    }
    bytes.resize(static_cast<size_t>(std::max(n, 0)));
    return bytes;
}

std::string model::text(const std::vector<token_id> & tokens) const {
    std::string result;
    for (const token_id token : tokens) {
        result += piece(token);
    }
    return result;
}

bool model::ends_answer(token_id token) const {
    return llama_vocab_is_eog(llama_model_get_vocab(model_.get()), token);
}

}  // namespace tmx
