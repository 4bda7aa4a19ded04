// `trianglemix capture`: queries, keys and values of some layers of a model on a prompt, as a file.
#include <fmt/core.h>

#include <memory>

#include "cli/commands/commands.h"
#include "cli/input_file.h"
#include "cli/options.h"
#include "cli/output_file.h"
#include "cli/prefill_progress.h"
#include "cli/terminal.h"
#include "profile/unit_set.h"
#include "prompts/builtin_prompts.h"
#include "recall/capture_file.h"
#include "runtime/failure.h"
#include "runtime/model_rotary.h"
#include "runtime/session.h"

namespace tmx {
namespace {

constexpr const char * k_capture_examples = R"(
llama.cpp alone reads the prompt, on the CPU, with flash attention and an f16 cache; what its attention is given in these
layers is written: queries behind the rotation, keys and values as the cache holds them, as f32. A layer of 14 heads of 64
and 8192 tokens takes 38 MB. `trianglemix recall` and `trianglemix heads` read the file.

Examples:
  trianglemix capture -m model.gguf --layers 0,8,16 --length 8192 -o needle.capture
  trianglemix capture -m model.gguf --layers all --builtin kv --length 4096 --seed 7 -o kv.capture
  trianglemix capture -m model.gguf --layers 12 -f book.txt -o book.capture
)";

struct capture_options {
    model_options model;
    std::string layers;
    std::string kind = "needle";
    int64_t length = 8192;
    uint64_t seed = 1;
    std::string document;
    std::string out;
};

std::vector<token_id> prompt_of(const capture_options & options, const model & m, std::string & name) {
    if (!options.document.empty()) {
        const text_document document = read_document(options.document);
        name = show_file(options.document);
        return m.tokenise_prompt(document.text).ids;
    }
    name = fmt::format("{} {} seed {}", options.kind, options.length, options.seed);
    return build_prompts(m, parse_prompt_kind(options.kind), options.length, options.seed, {}, 1).front().ids;
}

std::vector<int32_t> layers_of(const capture_options & options, const model_facts & facts) {
    std::vector<int32_t> layers = value_of(parse_layer_set(options.layers, facts.n_layer), "--layers: ");
    if (layers.empty()) {
        throw failure("--layers names no layer");
    }
    for (const int32_t layer : layers) {
        if (!facts.windows.empty() && facts.windows[static_cast<size_t>(layer)] > 0) {
            throw failure(
                fmt::format("--layers: layer {} has a sliding window, so its cache does not hold all keys", layer));
        }
    }
    return layers;
}

int capture(const capture_options & options, const invocation & call) {
    options.model.check_file();
    check_writable(options.out);
    const backend b({default_backend_paths().llama_bin, ""}, options.model.verbose);
    const model m = load_model(options.model, call.stop);
    capture_facts facts;
    facts.model = show_file(m.facts().path);
    facts.shape = shape_of(m.facts());
    facts.layers = layers_of(options, m.facts());
    facts.rotary = rotary_of(m);
    const std::vector<token_id> ids = prompt_of(options, m, facts.prompt);
    facts.n_tokens = static_cast<int64_t>(ids.size());
    const int64_t limit = options.model.n_ctx > 0 ? options.model.n_ctx : m.facts().n_ctx_train;
    if (facts.n_tokens > limit) {
        throw failure(
            fmt::format("the prompt has {} tokens, the context {}: shorten it, or set -c", facts.n_tokens, limit));
    }

    context_options context;
    context.n_ctx = context_for(facts.n_tokens + 1);
    context.n_ubatch = options.model.n_ubatch;
    context.n_threads = options.model.threads;
    context.stop = &call.stop;
    capture_writer writer(options.out, facts);
    attention_tap tap(facts.layers, [&](const attention_inputs & seen) { writer.add(seen); });
    context.tap = &tap;
    session s(m, context);
    tap.listen();
    {
        prefill_progress progress("capturing", facts.n_tokens);
        s.prefill(ids, cut_chunks(facts.n_tokens, s.options().n_ubatch, 0), [&](int64_t done) { progress.done(done); });
    }
    tap.finish(facts.n_tokens);
    writer.finish();
    fmt::print("{}: layers {} of {}, {} tokens ({})\n", options.out, format_layer_set(facts.layers), facts.model,
               facts.n_tokens, facts.prompt);
    return 0;
}

}  // namespace

command add_capture(CLI::App & app) {
    auto options = std::make_shared<capture_options>();
    CLI::App * sub = app.add_subcommand("capture", "Queries, keys and values of some layers on a prompt, as a file");
    sub->footer(k_capture_examples);
    add_model_options(*sub, options->model, false);
    shown(sub->add_option("--layers", options->layers, "which")->required(), "SET", "");
    CLI::Option * kind = shown(sub->add_option("--builtin", options->kind, "a made prompt of that kind")
                                   ->check(CLI::IsMember({"kv", "needle", "doc"})),
                               "kv|needle|doc", options->kind);
    CLI::Option * length =
        shown(sub->add_option("--length", options->length, "its tokens")->check(whole_number(64, 1 << 22)), "L",
              std::to_string(options->length));
    CLI::Option * seed = shown(sub->add_option("--seed", options->seed, "what it is made of"), "N", "1");
    CLI::Option * document =
        shown(sub->add_option("-f,--file", options->document, "instead: a plain text"), "FILE", "");
    for (CLI::Option * other : {kind, length, seed}) {
        document->excludes(other);
    }
    shown(sub->add_option("-o,--out", options->out, "the file")->required(), "FILE", "");
    return [options](const invocation & call) { return capture(*options, call); };
}

}  // namespace tmx
