// Runs the small random models of llama.cpp's own test of architectures: through llama.cpp alone, with our backend
// exact, and with a plan over all layers. One line of JSON a model goes to standard output; test_archs.py judges them.
//
//     arch_models MODULE PART PARTS      every PARTS-th model, beginning with number PART
//
// The models are those of tests/test-llama-archs.cpp of the llama.cpp that this is built against. It is a program and
// not a library, so its file is taken in whole and its main() goes by another name.
#define main test_llama_archs_main
#include "test-llama-archs.cpp"
#undef main

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "trianglemix/backend_control.h"

namespace {

using nlohmann::ordered_json;

constexpr size_t k_seed = 1;
constexpr float k_stdev = 0.1f;                        // that program's own
constexpr uint32_t k_n_ubatch = TMX_DEFAULT_MIN_ROWS;  // three ubatches, each large enough to be taken
constexpr uint32_t k_n_tokens = 3 * k_n_ubatch;
constexpr uint32_t k_n_token_ids = 128;

struct model_case {
    llm_arch arch;
    bool moe;

    // Those that read the whole prompt by an encoder, too.
    bool encodes() const {
        return arch == LLM_ARCH_T5 || arch == LLM_ARCH_DREAM || arch == LLM_ARCH_LLADA || arch == LLM_ARCH_LLADA_MOE ||
               arch == LLM_ARCH_RND1;
    }
};

// What that program runs, in its order.
std::vector<model_case> all_cases() {
    std::vector<model_case> cases;
    for (const llm_arch & arch : llm_arch_all()) {
        const bool has_no_models = arch == LLM_ARCH_EAGLE3 || arch == LLM_ARCH_DFLASH;
        for (const bool moe : {false, true}) {
            if (arch_supported(arch) && !has_no_models && (moe ? moe_implemented(arch) : !moe_mandatory(arch))) {
                cases.push_back({arch, moe});
            }
        }
    }
    return cases;
}

llama_model_ptr make_model(const model_case & which) {
    const gguf_context_ptr gguf = get_gguf_ctx(which.arch, which.moe);
    if (which.arch == LLM_ARCH_BAILINGMOE3) {
        gguf_remove_key(gguf.get(), "bailingmoe3.kda.safe_gate");
    }
    tensor_data_params data{k_seed, k_stdev};
    llama_model_params params = llama_model_default_params();
    params.progress_callback = silent_model_load_progress;
    llama_model_ptr model(llama_model_init_from_user(gguf.get(), set_tensor_data, &data, params));
    if (!model) {
        throw std::runtime_error("no model");
    }
    return model;
}

llama_context_ptr make_context(llama_model * model, const model_case & which) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = 0;
    params.n_ubatch = which.encodes() ? params.n_ubatch : k_n_ubatch;
    params.n_threads = params.n_threads_batch = 1;
    params.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_ENABLED;
    llama_context_ptr context(llama_init_from_model(model, params));
    if (!context) {
        throw std::runtime_error("no context");
    }
    return context;
}

// Logits of every row: what that program compares.
std::vector<float> all_logits(const model_case & which, llama_model * model) {
    const llama_context_ptr context = make_context(model, which);
    return get_logits(model, context.get(), get_tokens(k_n_tokens, k_n_token_ids, k_seed), which.encodes());
}

// Logits of the last row only, as where a prompt is read to go on from: a plan keeps rows dense whose logits are asked
// for.
std::vector<float> last_logits(const model_case & which, llama_model * model) {
    const llama_context_ptr context = make_context(model, which);
    const std::vector<llama_token> tokens = get_tokens(k_n_tokens, k_n_token_ids, k_seed);
    common_batch batch(context.get());
    for (uint32_t pos = 0; pos < k_n_tokens; ++pos) {
        batch.add(tokens[pos], static_cast<llama_pos>(pos), 0, pos + 1 == k_n_tokens);
    }
    if ((which.encodes() && llama_process(context.get(), LLAMA_PROCESS_TYPE_ENCODE, batch.get()) != 0) ||
        llama_process(context.get(), LLAMA_PROCESS_TYPE_DECODE, batch.get()) != 0) {
        throw std::runtime_error("the prompt was not computed");
    }
    const float * logits = llama_get_logits_ith(context.get(), k_n_tokens - 1);
    return {logits, logits + llama_vocab_n_tokens(llama_model_get_vocab(model))};
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

    ordered_json counted() const { return ordered_json::parse(statistics()); }

    void plan_all(int32_t n_layer, uint32_t n_window) const {
        const ordered_json plan = {{"format", "trianglemix-plan"},
                                   {"version", 1},
                                   {"name", "all layers"},
                                   {"model", {{"layers", n_layer}}},
                                   {"sink", 4},
                                   {"window", n_window},
                                   {"last", 16},
                                   {"tail", "output"},
                                   {"triangle_layers", "all"}};
        if (const char * problem = set_plan(plan.dump().c_str())) {
            throw std::runtime_error(problem);
        }
    }
};

void report(const model_case & which, const control & backend, const std::vector<float> & stock) {
    const llama_model_ptr model = make_model(which);
    ordered_json out = {{"arch", llm_arch_name(which.arch)},
                        {"moe", which.moe},
                        {"encodes", which.encodes()},
                        {"layers", llama_model_n_layer(model.get())}};
    backend.set_plan(nullptr);
    backend.reset_statistics();
    out["nmse"] = nmse(stock, all_logits(which, model.get()));
    out["exact"] = backend.counted();
    const std::vector<float> exact = last_logits(which, model.get());
    backend.plan_all(llama_model_n_layer(model.get()), k_n_tokens);
    out["nmse_of_wide_window"] = nmse(exact, last_logits(which, model.get()));
    backend.plan_all(llama_model_n_layer(model.get()), 16);
    backend.reset_statistics();
    static_cast<void>(last_logits(which, model.get()));
    out["planned"] = backend.counted();
    out["nmse_of_all_rows"] = nmse(stock, all_logits(which, model.get()));
    std::puts(out.dump().c_str());
    std::fflush(stdout);
}

void run(const char * module, size_t part, size_t n_parts) {
    const std::vector<model_case> cases = all_cases();
    std::vector<std::vector<float>> stock;
    for (size_t i = part; i < cases.size(); i += n_parts) {
        std::fprintf(stderr, "stock: %s\n", llm_arch_name(cases[i].arch));
        stock.push_back(all_logits(cases[i], make_model(cases[i]).get()));
    }
    const control backend(module);
    for (size_t i = part; i < cases.size(); i += n_parts) {
        std::fprintf(stderr, "ours: %s\n", llm_arch_name(cases[i].arch));
        report(cases[i], backend, stock[i / n_parts]);
    }
}

}  // namespace

int main(int argc, char ** argv) {
    if (argc != 4) {
        std::fputs("usage: arch_models MODULE PART PARTS\n", stderr);
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
        run(argv[1], std::strtoul(argv[2], nullptr, 10), std::strtoul(argv[3], nullptr, 10));
    } catch (const std::exception & error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
