#include "eval/run/settings.h"

#include <fmt/format.h>

#include "measure/hash.h"

namespace tmx {
namespace {

// Raised whenever what tasks share makes other texts: prose, words, how they are drawn. A task of its own has
// task_facts::revision.
constexpr int k_generator_version = 2;

}  // namespace

const char * name_of(arm_role role) {
    switch (role) {
        case arm_role::reference:
            return "reference";
        case arm_role::candidate:
            return "candidate";
        case arm_role::noise:
            return "noise";
        case arm_role::negative:
            break;
    }
    return "negative";
}

std::string eval_arm::identity() const {
    plan bare = applied;
    bare.name.clear();
    bare.provenance.clear();
    const std::string text =
        fmt::format("{} {} ub {} fa {} kv {} last {}\n{}", computed.ours ? "ours" : "stock", computed.precision,
                    computed.context.n_ubatch, computed.context.flash_attention, static_cast<int>(computed.context.kv),
                    computed.min_last, computed.plan_json.empty() ? "" : write_plan(bare));
    return sha256_of_text(text).substr(0, 12);
}

std::string identity_of_data(const eval_settings & settings) {
    const eval_sources & sources = settings.sources;
    std::string text = fmt::format("{} {} {} {} {} {}", k_generator_version, settings.seed, settings.frozen_order,
                                   static_cast<int>(sources.code), fmt::join(sources.operations, ","),
                                   sha256_of_text(sources.essay_name + sources.essay));
    for (const auto * words : {&sources.adjectives, &sources.nouns, &sources.words}) {
        text += sha256_of_text(fmt::format("{}", fmt::join(*words, "\n")));
    }
    return sha256_of_text(text).substr(0, 12);
}

}  // namespace tmx
