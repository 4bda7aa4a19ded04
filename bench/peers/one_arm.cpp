// tmx_bench_arm: one prompt, given as text or token ids, computed one way, once. Prints one JSON object. compare.py
// runs it between runs of other engines, each in a process of its own.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "cli/arms.h"
#include "cli/build_info.h"
#include "cli/input_file.h"
#include "cli/options.h"
#include "runtime/arm.h"
#include "runtime/backend.h"
#include "runtime/failure.h"
#include "runtime/model.h"
#include "runtime/statistics.h"

namespace tmx {
namespace {

// A first, short prefill: page faults, thread start and buffer allocation are not what is compared.
constexpr size_t k_warm_up_tokens = 128;

struct options {
    model_options model;
    std::string document;
    std::string question;
    int64_t n_tokens = 0;  // 0: the whole prompt, chat template and all
    std::string ids_file;
    std::string write_ids;
    std::string way = "exact";
    std::string plan;
    std::string layers;
    int64_t n_answer = 16;
};

std::vector<token_id> prompt_of(const options & o, const model & m) {
    std::vector<token_id> ids;
    if (!o.ids_file.empty()) {
        std::ifstream file(o.ids_file);
        for (token_id id = 0; file >> id;) {
            ids.push_back(id);
        }
        if (ids.empty()) {
            throw failure(o.ids_file + ": no token ids in it");
        }
        return ids;
    }
    const std::string text = read_file(o.document) + (o.question.empty() ? "" : "\n\n" + o.question);
    ids = m.tokenise_prompt(text, o.n_tokens > 0).ids;
    if (o.n_tokens > static_cast<int64_t>(ids.size())) {
        throw failure(fmt::format("{} has {} tokens, not {}", o.document, ids.size(), o.n_tokens));
    }
    if (o.n_tokens > 0) {
        ids.resize(static_cast<size_t>(o.n_tokens));
    }
    return ids;
}

void write_ids(const std::string & path, const std::vector<token_id> & ids) {
    std::ofstream file(path);
    for (const token_id id : ids) {
        file << id << '\n';
    }
    if (!file.flush()) {
        throw failure("cannot write " + path);
    }
}

arm arm_of(const options & o, const model & m, const prompt_setup & prompt) {
    if (o.way == "stock" || o.way == "stock-fa") {
        return stock_arm(prompt, {o.way == "stock-fa", o.model.n_ubatch});
    }
    plan_options wanted;
    wanted.reference = o.plan;
    wanted.layers = o.layers;
    wanted.exact = o.way == "exact" || o.way == "exact-fast";
    wanted.precision = o.way == "exact-fast" || o.way == "plan-fast" ? "fast" : "exact";
    const chosen_plan chosen = choose_plan(wanted, m.facts(), true);
    if (!wanted.exact && !chosen.sparse) {
        throw failure("no plan for this model: give one with --plan or --layers");
    }
    return planned_arm(prompt, chosen);
}

nlohmann::ordered_json run(const options & o) {
    backend b(default_backend_paths(), o.model.verbose);
    if (!b.loaded()) {
        throw failure("our backend did not load:\n" + recent_log());
    }
    const std::atomic<bool> stop{false};
    const model m = load_model(o.model, stop);
    prompt_setup prompt;
    prompt.ids = prompt_of(o, m);
    if (!o.write_ids.empty()) {
        write_ids(o.write_ids, prompt.ids);
        return {{"n_prompt", prompt.ids.size()}, {"commit", source_commit()}, {"ggml", built_against()}};
    }
    prompt.context.n_ctx =
        static_cast<int32_t>((static_cast<int64_t>(prompt.ids.size()) + o.n_answer + 256) / 256 * 256);
    prompt.context.n_ubatch = o.model.n_ubatch;
    prompt.context.n_threads = o.model.threads;
    prompt.context.stop = &stop;
    const arm how = arm_of(o, m, prompt);

    const std::span<const token_id> ids = prompt.ids;
    {
        const std::unique_ptr<session> s = open_arm(b, m, how);
        prefill_arm(b, how, *s, ids.first(std::min(ids.size(), k_warm_up_tokens)));
    }
    const std::unique_ptr<session> s = open_arm(b, m, how);
    const timed_prefill prefilled = prefill_arm(b, how, *s, ids);
    const backend_statistics statistics = parse_statistics(b.statistics(s->backend_context()));
    const greedy_answer answer = decode_answer(m, *s, prefilled.first, o.n_answer);

    nlohmann::ordered_json j;
    j["n_prompt"] = ids.size();
    j["ttft_s"] = prefilled.seconds;
    j["tokens"] = answer.tokens;
    j["decode_tokens_per_s"] = answer.n_decoded > 0 ? static_cast<double>(answer.n_decoded) / answer.seconds : 0.0;
    j["commit"] = source_commit();
    j["ggml"] = built_against();
    j["ubatch"] = how.context.n_ubatch;
    if (how.ours) {
        j["attention_s"] = statistics.seconds;
        j["kernel"] = statistics.kernel;
        j["kept_share"] = statistics.kept_share();
        j["fallbacks"] = statistics.fallbacks;
        j["products"] = statistics.raw.at("products");
    }
    return j;
}

}  // namespace
}  // namespace tmx

int main(int argc, char ** argv) {
    tmx::options o;
    CLI::App app("One prompt, one way of computing it, one time: the time to first token as a JSON object.",
                 "tmx_bench_arm");
    tmx::add_model_options(app, o.model);
    app.add_option("--way", o.way, "how to compute it; TRIANGLEMIX_PRODUCTS says who computes matrix products")
        ->check(CLI::IsMember({"stock", "stock-fa", "exact", "exact-fast", "plan", "plan-fast"}))
        ->capture_default_str();
    app.add_option("--plan", o.plan, "plan file or preset:NAME (default: the preset made for the model)");
    app.add_option("--layers", o.layers, "triangle layers instead of a plan, e.g. 16-31");
    app.add_option("--document", o.document, "text file")->capture_default_str();
    app.add_option("--question", o.question, "follows the document");
    app.add_option("--tokens", o.n_tokens, "cut the document to so many tokens, without chat template");
    app.add_option("--ids", o.ids_file, "token ids instead of a document, one a line");
    app.add_option("--write-ids", o.write_ids, "write the prompt's token ids to this file, compute nothing");
    app.add_option("--answer", o.n_answer, "most tokens to answer")->capture_default_str();
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError & error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    try {
        fmt::print("{}\n", tmx::run(o).dump());
    } catch (const std::exception & error) {
        fmt::print(stderr, "tmx_bench_arm: {}\n", error.what());
        return 1;
    }
    return 0;
}
