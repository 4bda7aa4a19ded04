// Runs a GGUF file with random weights: through llama.cpp alone, with flash attention and, as a yardstick of what
// rounding does, without; with our backend exact, and with plans for some of its layers. One JSON object goes to
// standard output; whoever starts it judges.
//
//     random_model LLAMA MODULE FILE LAYERS [DEVICES PROXIES]
//
// LLAMA is the folder of llama.cpp's libraries. LAYERS are those that plans treat. Stock computes on DEVICES, ours on
// PROXIES, those in front of them; without them both on the CPU. Over several, with commas between, layers are split by
// heads: then the first of each is the yardstick, which computes whole layers.
#include <cmath>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "runtime/arm.h"
#include "runtime/backend.h"
#include "runtime/model.h"

namespace {

using namespace tmx;
using nlohmann::ordered_json;

constexpr int64_t k_n_tokens = 1536;
constexpr int64_t k_n_following = 31;  // forced tokens, whose rows attend densely to what the prompt left

// normalised mean squared error = mse(a, b) / mse(a, 0)
double nmse(const logit_rows & a, const logit_rows & b) {
    double difference = 0;
    double size = 0;
    for (size_t row = 0; row < a.size(); ++row) {
        for (size_t i = 0; i < a[row].size(); ++i) {
            difference += std::pow(double{a[row][i]} - b[row][i], 2);
            size += std::pow(double{a[row][i]}, 2);
        }
    }
    return difference / size;
}

std::vector<token_id> random_tokens(int32_t n_vocab) {
    std::mt19937 random(1);
    std::vector<token_id> tokens;
    for (int64_t i = 0; i < k_n_tokens + k_n_following; ++i) {
        tokens.push_back(static_cast<token_id>(random() % static_cast<uint32_t>(n_vocab)));
    }
    return tokens;
}

// The logits behind the prompt and behind each of the tokens that follow; and what our backend counted.
logit_rows logits_of(backend & b, const model & m, const arm & a, ordered_json & counted) {
    const std::vector<token_id> tokens = random_tokens(m.facts().n_vocab);
    const std::span<const token_id> all(tokens);
    const std::unique_ptr<session> s = open_arm(b, m, a);
    prefill_arm(b, a, *s, all.first(k_n_tokens));
    logit_rows rows = {{s->last_logits().begin(), s->last_logits().end()}};
    for (std::vector<float> & row : s->force(all.subspan(k_n_tokens))) {
        rows.push_back(std::move(row));
    }
    counted = ordered_json::parse(b.statistics(s->backend_context()));
    counted["declined"] = ordered_json::parse(b.statistics()).at("declined");
    return rows;
}

arm arm_of(const ordered_json & plan) {
    arm a;
    a.name = "ours";
    a.plan_json = plan.is_null() ? "" : plan.dump();
    a.min_last = 64;
    a.context.n_ctx = 2048;
    a.context.n_ubatch = 512;
    a.context.n_threads = 2;
    return a;
}

arm stock_arm(bool flash_attention) {
    arm a = arm_of(nullptr);
    a.name = "stock";
    a.ours = false;
    a.context.flash_attention = flash_attention;
    return a;
}

ordered_json plan_of(int32_t n_layer, const std::string & triangle, int64_t n_window, const ordered_json & dynamic) {
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

// In the highest layer every second head is dense.
ordered_json plan_by_head(int32_t n_layer, const std::string & triangle, int32_t n_head) {
    std::string odd = "1";
    for (int32_t head = 3; head < n_head; head += 2) {
        odd.append(",").append(std::to_string(head));
    }
    ordered_json plan = plan_of(n_layer, triangle, 64, nullptr);
    plan["model"]["heads"] = n_head;
    plan["per_head"] = {{std::to_string(n_layer - 1), {{"dense_heads", odd}}}};
    return plan;
}

void run(const backend_paths & paths, const std::string & file, const std::string & layers, const std::string & devices,
         const std::string & proxies) {
    const bool split = devices.find(',') != std::string::npos;
    const auto first = [](const std::string & list) { return list.substr(0, list.find(',')); };
    backend b(paths, false);
    ordered_json out;
    ordered_json unused;
    logit_rows stock;
    {
        model m(file, {}, true, devices);
        stock = logits_of(b, m, stock_arm(true), unused);
        if (split) {
            m = model(file, {}, true, first(devices));
        }
        out["nmse_of_stock"] = nmse(stock, logits_of(b, m, stock_arm(split), unused));
    }
    std::optional<model> whole;
    if (split) {
        whole.emplace(file, std::function<bool(float)>(), true, first(proxies));
    }
    const model m(file, {}, true, proxies);
    const int32_t n_layer = m.facts().n_layer;
    const std::pair<const char *, ordered_json> plans[] = {
        {"exact", nullptr},
        {"wide_window", plan_of(n_layer, layers, k_n_tokens, nullptr)},
        {"triangle", plan_of(n_layer, layers, 64, nullptr)},
        {"by_head", plan_by_head(n_layer, layers, m.facts().n_head)},
        {"all_blocks", plan_of(n_layer, "none", 64, selected(layers, 0))},
        {"few_blocks", plan_of(n_layer, "none", 64, selected(layers, 1))},
    };
    out["layers"] = n_layer;
    for (const auto & [name, plan] : plans) {
        ordered_json & way = out["ways"][name];
        const logit_rows logits = logits_of(b, m, arm_of(plan), way["counted"]);
        way["nmse"] = nmse(stock, logits);
        if (whole) {
            way["nmse_of_whole"] = nmse(logits_of(b, *whole, arm_of(plan), way["counted_whole"]), logits);
        }
    }
    std::puts(out.dump().c_str());
}

}  // namespace

int main(int argc, char ** argv) {
    if (argc != 5 && argc != 7) {
        std::fputs("usage: random_model LLAMA MODULE FILE LAYERS [DEVICES PROXIES]\n", stderr);
        return 2;
    }
    try {
        run({argv[1], argv[2]}, argv[3], argv[4], argc == 7 ? argv[5] : "", argc == 7 ? argv[6] : "");
    } catch (const std::exception & error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
