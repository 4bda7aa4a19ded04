// eval/run/settings.h -- what an evaluation is asked to do.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "eval/sources.h"
#include "runtime/arm.h"
#include "trianglemix/plan.h"

namespace tmx {

// What an arm is in an evaluation: the yardstick, a candidate that should do as well, or one that shows what the suite
// can see.
enum class arm_role : uint8_t { reference, candidate, noise, negative };
const char * name_of(arm_role role);

struct eval_arm {
    std::string name;   // as typed: "dense", "plan", "all-triangle"
    std::string label;  // for people: "20 of 28 layers triangle: 8-27"
    arm_role role = arm_role::candidate;
    arm computed;
    plan applied;  // what plan_json says

    // All that decides what the arm computes, without the plan's name and provenance.
    std::string identity() const;
};

struct eval_settings {
    std::string model_path;
    std::string model_sha256;
    std::string device;  // "": the CPU
    std::vector<std::string> suites = {"fidelity", "ruler"};
    std::vector<int64_t> lengths = {4096};  // tokens
    std::vector<eval_arm> arms;             // the first one is the reference
    int64_t n = 4;                          // examples of each task and length
    uint64_t seed = 1;
    bool frozen_order = false;
    int32_t n_together = 4;    // sequences that are answered together
    int64_t n_following = 64;  // fidelity: tokens that are forced behind a prompt
    int64_t n_document = 256;  // fidelity: tokens of the document behind a prompt, for its perplexity
    std::string folder;        // of records and report
    double seconds_limit = 0;  // begin nothing after that; 0: none
    eval_sources sources;
    const std::atomic<bool> * stop = nullptr;

    // identity_of_data() of all the above: a hash of long texts, which every record's key has.
    std::string data_identity;
};

// What the examples of a task and length are made from, besides the task's own files.
std::string identity_of_data(const eval_settings & settings);

}  // namespace tmx
