// Runs a GGUF file with random weights: through llama.cpp alone, with flash attention and, as a yardstick of what rounding
// does, without; with our backend exact, and with plans for some of its layers. One JSON object goes to standard output; whoever starts it judges.
//
//     random_model MODULE FILE LAYERS [DEVICE PROXY]
//
// LAYERS are those that plans treat. Stock computes on DEVICE, ours on PROXY, the device in front of it; without them both
// on the CPU.
#include <ggml-backend.h>
#include <llama.h>

#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "trianglemix/backend_control.h"

namespace {

using nlohmann::ordered_json;

constexpr int32_t k_n_ubatch = 512;
constexpr int32_t k_n_tokens = 3 * k_n_ubatch;
constexpr int32_t k_n_compared = 32;  // the prompt's last rows, whose logits are asked for; a plan leaves them dense

struct free_model {
    void operator()(llama_model * model) const { llama_model_free(model); }
};
struct free_context {
    void operator()(llama_context * context) const { llama_free(context); }
};
using model_ptr = std::unique_ptr<llama_model, free_model>;

// normalised mean squared error = mse(a, b) / mse(a, 0)
double nmse(const std::vector<float> & a, const std::vector<float> & b) {
    double difference = 0;
    double size = 0;
    for (size_t i = 0; i < a.size(); ++i) {
        difference += std::pow(double{a[i]} - b[i], 2);
        size += std::pow(double{a[i]}, 2);
    }
    return difference / size;
}

model_ptr load(const std::string & file, const char * device) {
    llama_model_params params = llama_model_default_params();
    ggml_backend_dev_t devices[] = {device != nullptr ? ggml_backend_dev_by_name(device) : nullptr, nullptr};
    if (device != nullptr && devices[0] == nullptr) {
        throw std::runtime_error(std::string("no device ") + device);
    }
    params.devices = devices;
    params.n_gpu_layers = device != nullptr ? 999 : 0;
    model_ptr model(llama_model_load_from_file(file.c_str(), params));
    if (!model) {
        throw std::runtime_error(file + " does not load");
    }
    return model;
}

// Of the last rows.
std::vector<float> logits_of(llama_model * model, llama_flash_attn_type flash = LLAMA_FLASH_ATTN_TYPE_ENABLED) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = k_n_tokens;
    params.n_batch = params.n_ubatch = k_n_ubatch;
    params.n_threads = params.n_threads_batch = 2;
    params.flash_attn_type = flash;
    const std::unique_ptr<llama_context, free_context> context(llama_init_from_model(model, params));
    if (!context) {
        throw std::runtime_error("no context");
    }
    const int32_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    std::mt19937 random(1);
    std::vector<float> logits;
    for (int32_t begin = 0; begin < k_n_tokens; begin += k_n_ubatch) {
        llama_batch batch = llama_batch_init(k_n_ubatch, 0, 1);
        for (int32_t i = 0; i < k_n_ubatch; ++i) {
            batch.token[i] = static_cast<int32_t>(random() % static_cast<uint32_t>(n_vocab));
            batch.pos[i] = begin + i;
            batch.n_seq_id[i] = 1;
            batch.seq_id[i][0] = 0;
            batch.logits[i] = static_cast<int8_t>(begin + i >= k_n_tokens - k_n_compared);
        }
        batch.n_tokens = k_n_ubatch;
        const int32_t problem = llama_decode(context.get(), batch);
        llama_batch_free(batch);
        if (problem != 0) {
            throw std::runtime_error("the prompt was not computed");
        }
    }
    for (int32_t i = 0; i < k_n_compared; ++i) {
        const float * row = llama_get_logits_ith(context.get(), i - k_n_compared);
        logits.insert(logits.end(), row, row + n_vocab);
    }
    return logits;
}

struct control {
    tmx_set_plan_t set_plan;
    tmx_statistics_t statistics;
    tmx_reset_statistics_t reset_statistics;

    explicit control(const char * module) {
        const ggml_backend_reg_t reg = ggml_backend_load(module);
        if (reg == nullptr) {
            throw std::runtime_error("the backend did not load");
        }
        const auto function = [&](auto & target, const char * name) {
            target = reinterpret_cast<std::decay_t<decltype(target)>>(ggml_backend_reg_get_proc_address(reg, name));
        };
        function(set_plan, TMX_PROC_SET_PLAN);
        function(statistics, TMX_PROC_STATISTICS);
        function(reset_statistics, TMX_PROC_RESET_STATISTICS);
    }

    // The logits under a plan, null for none, and what was counted meanwhile.
    std::vector<float> run(llama_model * model, const ordered_json & plan, ordered_json & counted) const {
        if (const char * problem = set_plan(plan.is_null() ? nullptr : plan.dump().c_str())) {
            throw std::runtime_error(problem);
        }
        reset_statistics();
        std::vector<float> logits = logits_of(model);
        counted = ordered_json::parse(statistics());
        return logits;
    }
};

ordered_json plan_of(int32_t n_layer, const ordered_json & triangle, int32_t n_window, const ordered_json & dynamic) {
    ordered_json plan = {{"format", "trianglemix-plan"},
                         {"version", 2},
                         {"model", {{"layers", n_layer}}},
                         {"sink", 4},
                         {"window", n_window},
                         {"last", 16},
                         {"tail", "output"},
                         {"triangle_layers", triangle}};
    if (!dynamic.is_null()) {
        plan["dynamic"] = {dynamic};
    }
    return plan;
}

ordered_json selected(const std::string & layers, double alpha) {
    return {{"method", "means"}, {"alpha", alpha}, {"layers", layers}};
}

void run(const char * module, const std::string & file, const std::string & layers, const char * device,
         const char * proxy) {
    ordered_json out;
    std::vector<float> stock;
    {
        const model_ptr model = load(file, device);
        stock = logits_of(model.get());
        out["nmse_of_stock"] = nmse(stock, logits_of(model.get(), LLAMA_FLASH_ATTN_TYPE_DISABLED));
    }
    const control backend(module);
    const model_ptr model = load(file, proxy);
    const int32_t n_layer = llama_model_n_layer(model.get());
    const std::pair<const char *, ordered_json> plans[] = {
        {"exact", nullptr},
        {"wide_window", plan_of(n_layer, layers, k_n_tokens, nullptr)},
        {"triangle", plan_of(n_layer, layers, 64, nullptr)},
        {"all_blocks", plan_of(n_layer, "none", 64, selected(layers, 0))},
        {"few_blocks", plan_of(n_layer, "none", 64, selected(layers, 1))},
    };
    out["layers"] = n_layer;
    for (const auto & [name, plan] : plans) {
        const std::vector<float> logits = backend.run(model.get(), plan, out["ways"][name]["counted"]);
        out["ways"][name]["nmse"] = nmse(stock, logits);
    }
    std::puts(out.dump().c_str());
}

}  // namespace

int main(int argc, char ** argv) {
    if (argc != 4 && argc != 6) {
        std::fputs("usage: random_model MODULE FILE LAYERS [DEVICE PROXY]\n", stderr);
        return 2;
    }
    try {
        ggml_backend_load_all_from_path(TMX_LLAMA_BIN_FOLDER);
        llama_log_set(
            [](ggml_log_level level, const char * text, void *) {
                if (level == GGML_LOG_LEVEL_ERROR || std::strstr(text, "TriangleMix") != nullptr)
                    std::fputs(text, stderr);
            },
            nullptr);
        run(argv[1], argv[2], argv[3], argc == 6 ? argv[4] : nullptr, argc == 6 ? argv[5] : nullptr);
    } catch (const std::exception & error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
