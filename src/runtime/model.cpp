#include "runtime/model.h"

#include <llama.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <vector>

#include "identity/attention_windows.h"
#include "runtime/backend.h"
#include "runtime/failure.h"
#include "runtime/model_metadata.h"

namespace tmx {
namespace {

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

// Those of a list with commas between.
std::vector<ggml_backend_dev_t> gpus_named(const std::string & names) {
    std::vector<ggml_backend_dev_t> gpus;
    std::istringstream list(names);
    for (std::string name; std::getline(list, name, ',');) {
        gpus.push_back(gpu_named(name));
    }
    return gpus;
}

}  // namespace

void model::free_model::operator()(llama_model * model) const {
    llama_model_free(model);
}

model::model(const std::string & path, const std::function<bool(float)> & progress, bool weights,
             const std::string & devices) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error)) {
        throw failure(std::filesystem::exists(path, error) ? path + " is no regular file" : "no model file at " + path);
    }
    llama_model_params params = llama_model_default_params();
    // An empty device list is the CPU alone, not "all there are".
    std::vector<ggml_backend_dev_t> gpus = gpus_named(devices);
    params.n_gpu_layers = gpus.empty() ? 0 : -1;
    params.split_mode = gpus.size() > 1 ? LLAMA_SPLIT_MODE_TENSOR : params.split_mode;
    gpus.push_back(nullptr);
    params.devices = gpus.data();
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
    const bool has_tokeniser = llama_vocab_type(vocab) != LLAMA_VOCAB_TYPE_NONE;
    for (token_id token = 0; has_tokeniser && token < facts_.n_vocab; ++token) {
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
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) {
        throw failure(facts_.path + " has no tokeniser, so it can read token numbers only, and no text");
    }
    std::vector<token_id> tokens(text.size() + 8);
    const int32_t n = llama_tokenize(vocab, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                                     static_cast<int32_t>(tokens.size()), false, false);
    if (n < 0) {
        throw failure("llama.cpp could not tokenise a text of " + std::to_string(text.size()) + " bytes");
    }
    tokens.resize(static_cast<size_t>(n));
    return tokens;
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
