#include "measure.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <optional>

#include "prompts.h"
#include "records.h"
#include "runtime/arm.h"
#include "runtime/failure.h"
#include "summary.h"
#include "trianglemix/plan.h"

namespace tmx {
namespace {

constexpr uint64_t k_unseen_seed = 1000;  // added to the seed of prompts that must not be those used to choose

struct shard {
    int64_t index = 0;
    int64_t count = 1;
};

shard parse_shard(const std::string & text) {
    shard s;
    const size_t slash = text.find('/');
    const char * end = text.data() + text.size();
    if (slash != std::string::npos) {
        const auto first = std::from_chars(text.data(), text.data() + slash, s.index);
        const auto second = std::from_chars(text.data() + slash + 1, end, s.count);
        if (first.ec == std::errc() && first.ptr == text.data() + slash && second.ec == std::errc() &&
            second.ptr == end && s.index >= 0 && s.index < s.count) {
            return s;
        }
    }
    throw failure("--shard takes i/n with 0 <= i < n, not '" + text + "'");
}

// One way to compute a prompt, and the record fields that name it.
struct variant {
    std::string name;
    int64_t n_layers = 0;
    arm how;
    const model * weights = nullptr;
};

struct prompt_id {
    prompt_kind kind;
    int64_t length;
    int64_t sample;
};

class measurement {
  public:
    explicit measurement(const measure_options & options)
        : options_(options),
          backend_(default_backend_paths(), options.verbose),
          model_(options.model),
          file_(options.out) {}

    void run() {
        const bool unseen = options_.stage == "check" || options_.stage == "baseline";
        texts_ = read_texts(options_.text_folder, unseen ? options_.check_files : options_.choose_files);
        seed_ = options_.seed + (unseen ? k_unseen_seed : 0);
        if (options_.stage == "baseline" && !options_.f16_model.empty()) {
            f16_model_.emplace(options_.f16_model);
        }
        const std::vector<variant> variants = variants_of_stage();
        const std::vector<prompt_id> prompts = prompts_of_shard();
        n_total_ = static_cast<int64_t>(variants.size() * prompts.size());
        start_ = seconds_now();
        for (const prompt_id & id : prompts) {
            measure_prompt(id, variants);
        }
        fmt::print(stderr, "\n");
        print_summary(options_.stage, options_.order_by, options_.precision, file_.all());
    }

  private:
    const measure_options & options_;
    backend backend_;
    model model_;
    std::optional<model> f16_model_;
    record_file file_;
    std::vector<std::string> texts_;
    uint64_t seed_ = 0;
    int64_t n_total_ = 0;
    int64_t n_done_ = 0;
    int64_t n_measured_ = 0;
    double start_ = 0;

    context_options context_for(int64_t n_prompt, int32_t n_ubatch, bool flash_attention, kv_type kv) const {
        context_options context;
        // Whole multiples of 256 cells are what llama.cpp rounds to.
        context.n_ctx = static_cast<int32_t>((n_prompt + options_.n_following + 1 + 255) / 256 * 256);
        context.n_ubatch = n_ubatch;
        context.n_threads = options_.threads;
        context.flash_attention = flash_attention;
        context.kv = kv;
        context.stop = options_.stop;
        return context;
    }

    arm our_arm(const std::string & name, const std::vector<int32_t> & layers) const {
        arm a;
        a.name = name;
        a.precision = options_.precision;
        a.min_last = options_.shape.n_last;
        a.context = context_for(0, options_.n_ubatch, true, kv_type::f16);
        if (!layers.empty()) {
            const model_facts & facts = model_.facts();
            plan p;
            p.name = "measured";
            p.model = {facts.architecture, facts.n_layer, facts.n_head, facts.n_head_kv, facts.d_head};
            p.shape = options_.shape;
            p.tail = tail_policy::prompt;
            p.arithmetic = options_.precision == "fast" ? precision::fast : precision::exact;
            p.layers.resize(static_cast<size_t>(facts.n_layer));
            for (const int32_t layer : layers) {
                p.layers[static_cast<size_t>(layer)].kind = layer_kind::triangle;
            }
            a.plan_json = write_plan(p);
        }
        return a;
    }

    variant layer_variant(const std::vector<int32_t> & layers) const {
        const std::string name = format_layer_set(layers);
        return {name, static_cast<int64_t>(layers.size()), our_arm(name, layers), &model_};
    }

    std::vector<variant> variants_of_stage() const {
        std::vector<variant> variants;
        const int32_t n_layer = model_.facts().n_layer;
        if (options_.stage == "ablate") {
            for (int32_t layer = 0; layer < n_layer; ++layer) {
                variants.push_back(layer_variant({layer}));
            }
        } else if (options_.stage == "grow") {
            const std::vector<int32_t> order = ordered_layers();
            std::vector<int64_t> sizes = options_.sizes;
            if (sizes.empty()) {
                for (int64_t size = 1; size <= n_layer; ++size) {
                    sizes.push_back(size);
                }
            }
            for (const int64_t size : sizes) {
                if (size < 1 || size > n_layer) {
                    throw failure(fmt::format("--sizes: {} is not in 1..{}", size, n_layer));
                }
                std::vector<int32_t> layers(order.begin(), order.begin() + size);
                std::sort(layers.begin(), layers.end());
                variants.push_back(layer_variant(layers));
            }
        } else if (options_.stage == "check") {
            if (options_.sets.empty()) {
                throw failure("--stage check needs --sets, e.g. --sets '10-29;0,4,12-29'");
            }
            for (const std::string & text : options_.sets) {
                const parsed<std::vector<int32_t>> layers = parse_layer_set(text, n_layer);
                if (!layers.ok()) {
                    throw failure("--sets: " + layers.error);
                }
                variants.push_back(layer_variant(layers.value));
            }
        } else {
            variants = baseline_variants();
        }
        return variants;
    }

    std::vector<variant> baseline_variants() const {
        arm stock = our_arm("stock", {});
        stock.ours = false;
        arm stock_small = stock;
        stock_small.context.flash_attention = false;
        stock_small.context.n_ubatch = 512;
        arm stock_q8 = stock;
        stock_q8.context.kv = kv_type::q8_0;
        std::vector<variant> variants = {{"stock fa on ub 2048", 0, stock, &model_},
                                         {"stock fa off ub 512", 0, stock_small, &model_},
                                         {"stock kv q8_0", 0, stock_q8, &model_}};
        if (f16_model_) {
            // KL(F16 || Q8_0) and KL(Q8_0 || F16) agree to first order; the reference of all rows stays the Q8_0 model.
            variants.push_back({"stock f16 weights", 0, stock, &*f16_model_});
        }
        return variants;
    }

    std::vector<int32_t> ordered_layers() const {
        std::vector<record> ablations = file_.all();
        for (const std::string & path : options_.from) {
            const std::vector<record> more = read_records(path);
            ablations.insert(ablations.end(), more.begin(), more.end());
        }
        std::vector<int32_t> order = order_layers(ablations, options_.order_by, options_.precision);
        if (static_cast<int32_t>(order.size()) != model_.facts().n_layer) {
            throw failure(fmt::format("grow needs the ablate records of all {} layers in --out or --from; found {}",
                                      model_.facts().n_layer, order.size()));
        }
        return order;
    }

    std::vector<prompt_id> prompts_of_shard() const {
        const shard part = parse_shard(options_.shard);
        std::vector<prompt_id> prompts;
        int64_t number = 0;
        for (int64_t sample = 0; sample < options_.samples; ++sample) {
            for (const int64_t length : options_.lengths) {
                for (const prompt_kind kind : k_all_kinds) {
                    if (number++ % part.count == part.index) {
                        prompts.push_back({kind, length, sample});
                    }
                }
            }
        }
        return prompts;
    }

    record record_of(const prompt_id & id, const variant & v) const {
        record r;
        r.stage = options_.stage;
        r.model = std::filesystem::path(options_.model).filename().string();
        r.arm = v.name;
        r.n_layers = v.n_layers;
        r.precision = v.how.ours ? options_.precision : "stock";
        r.kind = name_of(id.kind);
        r.length = id.length;
        r.sample = id.sample;
        r.seed = seed_;
        r.command = options_.command;
        return r;
    }

    // Logits of the first token and behind each token of `continuation`; fills in `continuation` when it is empty.
    logit_rows rows_of(const variant & v, const std::vector<token_id> & prompt, std::vector<token_id> & continuation,
                       double & seconds) {
        arm how = v.how;
        how.context.n_ctx = context_for(static_cast<int64_t>(prompt.size()), 1, true, kv_type::f16).n_ctx;
        const std::unique_ptr<session> s = open_arm(backend_, *v.weights, how);
        const timed_prefill prefilled = prefill_arm(backend_, how, *s, prompt);
        seconds = prefilled.seconds;
        logit_rows rows;
        rows.emplace_back(s->last_logits().begin(), s->last_logits().end());
        if (continuation.empty()) {
            // Past an end token too: every prompt then gives the same number of positions.
            token_id next = prefilled.first;
            for (int64_t i = 0; i < options_.n_following; ++i) {
                continuation.push_back(next);
                s->decode(next);
                next = argmax(s->last_logits());
            }
            if (!s->roll_back(static_cast<int64_t>(prompt.size()))) {
                throw failure("this model's memory cannot be rolled back, so its continuation cannot be compared");
            }
        }
        logit_rows forced = s->force(continuation);
        std::move(forced.begin(), forced.end(), std::back_inserter(rows));
        return rows;
    }

    void measure_prompt(const prompt_id & id, const std::vector<variant> & variants) {
        std::vector<variant> missing;
        for (const variant & v : variants) {
            if (file_.has(record_of(id, v))) {
                ++n_done_;
            } else {
                missing.push_back(v);
            }
        }
        if (missing.empty()) {
            return;
        }
        // One seed for each prompt; samples of other lengths and kinds share nothing.
        const uint64_t prompt_seed =
            ((seed_ * 1000003 + static_cast<uint64_t>(id.sample)) * 1000003 + static_cast<uint64_t>(id.length)) * 31 +
            static_cast<uint64_t>(id.kind);
        const built_prompt prompt = build_prompt(model_, id.kind, id.length, prompt_seed, texts_);
        std::vector<token_id> continuation;
        double seconds = 0;
        const logit_rows reference =
            rows_of({"dense", 0, our_arm("dense", {}), &model_}, prompt.ids, continuation, seconds);
        for (const variant & v : missing) {
            record r = record_of(id, v);
            const logit_rows rows = rows_of(v, prompt.ids, continuation, r.prefill_seconds);
            r.n_tokens = static_cast<int64_t>(prompt.ids.size());
            r.distance = compare_rows(reference, rows);
            r.margin = top_margin(reference.front());
            file_.append(r);
            ++n_done_;
            ++n_measured_;
            const double left =
                (seconds_now() - start_) / static_cast<double>(n_measured_) * static_cast<double>(n_total_ - n_done_);
            fmt::print(stderr,
                       "{}/{}  {:9} {:5} tokens, sample {}  {:>22}: KL first {:.2e}, following {:.2e}  {:.1f} s, "
                       "{:.0f} s left\n",
                       n_done_, n_total_, r.kind, r.n_tokens, r.sample, r.arm, r.distance.first_kl,
                       r.distance.following_kl, r.prefill_seconds, left);
        }
    }
};

}  // namespace

void measure(const measure_options & options) {
    measurement(options).run();
}

}  // namespace tmx
