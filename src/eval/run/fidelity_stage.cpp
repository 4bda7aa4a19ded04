#include "eval/run/fidelity_stage.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "eval/run/answer_distance.h"
#include "measure/hash.h"
#include "measure/random_source.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

// What one arm computed of a prompt.
struct arm_rows {
    std::vector<float> first;
    std::vector<token_id> spoken;  // the arm's own tokens
    logit_rows following;          // behind forced tokens; row t predicts forced token t + 1
    double document_nll = 0;       // of fidelity_prompt::following, a sum
    arm_sessions::prefilled prefilled;
};

class prompt_in_arm {
  public:
    prompt_in_arm(arm_sessions & sessions, const eval_settings & settings, const eval_arm & a,
                  const fidelity_prompt & prompt)
        : sessions_(sessions), settings_(settings), arm_(a), prompt_(prompt), session_(sessions.of(a)) {}

    // forced: the reference's tokens; empty: this is the reference, and its own are forced.
    arm_rows run(std::vector<token_id> forced, const std::function<void(int64_t)> & progress) {
        arm_rows rows;
        rows.prefilled = sessions_.prefill(arm_, 0, prompt_.ids, progress);
        const std::span<const float> logits = session_.last_logits();
        rows.first.assign(logits.begin(), logits.end());
        rows.spoken = speak(argmax(logits));
        forced = forced.empty() ? rows.spoken : forced;
        back_to_prompt();
        rows.following = session_.force({forced.data(), forced.size() - 1});
        back_to_prompt();
        if (!prompt_.following.empty()) {
            rows.document_nll = forced_likelihood(session_, rows.first, prompt_.following);
        }
        return rows;
    }

  private:
    arm_sessions & sessions_;
    const eval_settings & settings_;
    const eval_arm & arm_;
    const fidelity_prompt & prompt_;
    session & session_;

    // Past an end token, too: every prompt then gives the same number of positions.
    std::vector<token_id> speak(token_id next) {
        std::vector<token_id> tokens = {next};
        while (static_cast<int64_t>(tokens.size()) < settings_.n_following) {
            session_.decode(tokens.back());
            tokens.push_back(argmax(session_.last_logits()));
        }
        return tokens;
    }

    void back_to_prompt() {
        const auto n_prompt = static_cast<int64_t>(prompt_.ids.size());
        if (!sessions_.text().facts().windows.empty() || !session_.roll_back(n_prompt)) {
            static_cast<void>(sessions_.prefill(arm_, 0, prompt_.ids, {}));
        }
    }
};

int64_t common_prefix(const std::vector<token_id> & a, const std::vector<token_id> & b) {
    const auto [end, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
    return end - a.begin();
}

record_store::json record_of(const eval_arm & a, const fidelity_prompt & prompt, int64_t length, int64_t index,
                             const arm_rows & reference, const arm_rows & other) {
    const std::vector<token_id> & forced = reference.spoken;
    const auto n = static_cast<double>(std::max<size_t>(prompt.following.size(), 1));
    return {{"kind", "fidelity"},
            {"suite", "fidelity"},
            {"task", "documents"},
            {"id", std::to_string(index)},
            {"length", length},
            {"arm", a.name},
            {"arm_identity", a.identity()},
            {"ids_hash", prompt.ids_hash},
            {"n_prompt", prompt.ids.size()},
            {"kept_share", other.prefilled.kept_share},
            {"n_planned", other.prefilled.n_planned},
            {"first", to_json(compare_first(reference.first, other.first))},
            {"following",
             to_json(compare_following(reference.following, other.following, {forced.data() + 1, forced.size() - 1}))},
            {"n_spoken", forced.size()},
            {"same_spoken", common_prefix(reference.spoken, other.spoken)},
            {"n_document", prompt.following.size()},
            {"document_nll", other.document_nll / n},
            {"document_nll_reference", reference.document_nll / n},
            {"prefill_s", other.prefilled.seconds},
            {"prefill_s_reference", reference.prefilled.seconds}};
}

}  // namespace

fidelity_prompt make_fidelity_prompt(const model & m, const eval_settings & settings, int64_t length, int64_t index) {
    const std::string & text = settings.sources.essay;
    random_source random(settings.seed * 1'000'003 + static_cast<uint64_t>(length) * 31 +
                         static_cast<uint64_t>(index) * 0x9e3779b97f4a7c15ULL);
    // From the beginning of a word, going on at the text's beginning where it ends.
    const size_t somewhere = text.find(' ', random.below(text.size()));
    const size_t start = somewhere == std::string::npos ? 0 : somewhere + 1;
    const auto wanted = static_cast<size_t>(length + settings.n_document);
    std::vector<token_id> document;
    for (size_t at = start; document.size() < wanted; at = 0) {
        const size_t most = std::min(text.size() - at, (wanted - document.size()) * 16);
        const std::vector<token_id> part = m.tokenise(std::string_view(text).substr(at, most));
        document.insert(document.end(), part.begin(), part.end());
    }
    fidelity_prompt prompt;
    prompt.ids = m.tokenise_prompt("", true).ids;
    const auto n_cut = static_cast<std::ptrdiff_t>(static_cast<size_t>(length) - prompt.ids.size());
    prompt.ids.insert(prompt.ids.end(), document.begin(), document.begin() + n_cut);
    prompt.following.assign(document.begin() + n_cut, document.begin() + n_cut + settings.n_document);
    sha256 hash;
    hash.add(prompt.ids.data(), prompt.ids.size() * sizeof(token_id));
    prompt.ids_hash = hash.hex();
    return prompt;
}

std::string fidelity_key(const eval_settings & settings, const eval_arm & a, int64_t length, int64_t index) {
    return fmt::format("fidelity {} #{} {} {} against {} ({} {} {} {} {})", length, index, a.name, a.identity(),
                       settings.arms.front().identity(), settings.model_sha256.substr(0, 12), settings.data_identity,
                       settings.n_following, settings.n_document, settings.device.empty() ? "cpu" : settings.device);
}

double fidelity_weight(const eval_settings & settings, const record_store & records, int64_t length, int64_t index) {
    double weight = 0;
    for (size_t i = 1; i < settings.arms.size(); ++i) {
        if (records.find(fidelity_key(settings, settings.arms[i], length, index)) == nullptr) {
            weight += stage_clock::weight_of(length) * (weight > 0 ? 1 : 2);
        }
    }
    return weight;
}

void measure_fidelity(arm_sessions & sessions, const eval_settings & settings, record_store & records,
                      stage_clock & clock, int64_t length, int64_t index) {
    std::vector<const eval_arm *> missing;
    for (size_t i = 1; i < settings.arms.size(); ++i) {
        if (records.find(fidelity_key(settings, settings.arms[i], length, index)) == nullptr) {
            missing.push_back(&settings.arms[i]);
        }
    }
    if (missing.empty()) {
        return;
    }
    const fidelity_prompt prompt = make_fidelity_prompt(sessions.text(), settings, length, index);
    const auto within = [&](int64_t n) {
        clock.within(static_cast<double>(n) / static_cast<double>(prompt.ids.size()));
    };
    const double weight = stage_clock::weight_of(length);
    const eval_arm & reference = settings.arms.front();
    clock.begin(fmt::format("fidelity {} #{} {}", length, index, reference.name), weight);
    const arm_rows dense = prompt_in_arm(sessions, settings, reference, prompt).run({}, within);
    clock.end(fmt::format("fidelity {} #{} {}", length, index, reference.name));
    for (const eval_arm * a : missing) {
        const std::string item = fmt::format("fidelity {} #{} {}", length, index, a->name);
        clock.begin(item, weight);
        const arm_rows other = prompt_in_arm(sessions, settings, *a, prompt).run(dense.spoken, within);
        record_store::json record = record_of(*a, prompt, length, index, dense, other);
        record["wall_s"] = clock.lap();
        records.append(fidelity_key(settings, *a, length, index), record);
        clock.end(fmt::format("{}: KL {:.2g} first, {:.2g} following", item, record["first"]["kl"].get<double>(),
                              record["following"]["kl_mean"].get<double>()));
    }
}

}  // namespace tmx
