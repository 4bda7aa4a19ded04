// What the settings ask of each layer during one evaluation: the plan held against the running model, and what strict
// mode forbids. One per backend instance; shared by the CPU device and the GPU proxies.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backend/log.h"
#include "backend/runs/ubatch_runs.h"
#include "backend/segments.h"
#include "backend/settings.h"
#include "backend/statistics.h"

namespace tmx {

struct planned_layer {
    layer_rule rule;
    std::vector<attention_segment> segments;
    std::vector<uint8_t> marks;  // selected_marks() of them
};

// What a layer's graph tells of its rotary layout.
struct layer_rotary {
    rotary_layout layout;
    const char * unknown_because = "rotary_unknown";  // the reason of falling back, where a method must know more
};

class layer_rules {
  public:
    layer_rules(settings & current, statistics & counters, log_sink log)
        : settings_(current), statistics_(counters), log_(log) {}

    // Takes the settings that hold until the next call.
    void begin();
    settings_snapshot & snapshot() { return snapshot_; }

    // Once per context and change of the plan: does it fit the running model, whose shape is asked for only then? The
    // answer goes into the log, which calls the kernel that will compute by `kernel`.
    void check_plan(const std::function<model_shape()> & shape_of_model, const std::string & kernel);

    // Where one context serves one model after the other, as in an RPC server: this one runs. If it is of another shape
    // than the last, the plan is checked anew.
    void expect_model(const model_shape & running);

    // How these heads of a layer are to be treated. The rule points into what the plan was compiled to: good until the
    // next begin(). Counts a layer of the plan that falls back whatever its rows are.
    layer_rule decide_rule(int32_t layer, const head_range & range);

    // What a layer keeps of an evaluation's rows: decide_rule(), note_fallbacks(), settle_rotary() and make_segments()
    // in one. None: strict mode forbids to go on.
    std::optional<planned_layer> plan_layer(int32_t layer, int64_t n_head, const ubatch_runs & found,
                                            int64_t least_rows, const layer_rotary & rotary = {});

    // Counts a layer of the plan of which at least one stretch of `least_rows` or more falls back, that is cannot be
    // treated by the plan and is computed exactly; and, where the plan treats any, masked attention of a layer
    // that is not known, which may be one of them. The log says so once a reason.
    // False: strict mode forbids to go on, or the plan does not fit; why is in the log.
    [[nodiscard]] bool note_fallbacks(int32_t layer, const layer_rule & rule, const ubatch_runs & found,
                                      int64_t least_rows);
    // Tells the rule how the layer's dimensions are paired. Where rows would be selected by a method that must know
    // that, and it is unknown, the layer falls back: the rule becomes that of exact attention. False as above.
    [[nodiscard]] bool settle_rotary(int32_t layer, layer_rule & rule, const ubatch_runs & found,
                                     const layer_rotary & rotary);
    // As note_fallbacks(), for a layer of the plan that falls back for another reason than its rows.
    [[nodiscard]] bool note_fallback(int32_t layer, const layer_rule & rule, const char * reason);

  private:
    void describe_plan(const model_shape & running, const std::string & kernel) const;
    bool may_be_planned(int32_t layer, const layer_rule & rule, const char * reason) const;
    void say_once(int32_t layer, const char * reason);
    void warn_of_length(const ubatch_runs & found);

    settings & settings_;
    statistics & statistics_;
    log_sink log_;
    settings_snapshot snapshot_;
    compiled_rules compiled_;           // of the plan
    uint64_t compiled_generation_ = 0;  // of that plan; 0: none yet
    uint64_t checked_generation_ = 0;   // of the plan that `refusal_` speaks of; 0: none yet
    model_shape expected_;
    std::string way_;             // kernel, precision and plan of this evaluation, for the counters; "": unknown
    std::string refusal_;         // why the plan does not fit the running model; "" if it does
    std::set<std::string> said_;  // reasons of falling back that the log has named
    int64_t measured_ = 0;        // longest prompt that the plan was measured on; 0: unknown, or said already
};

}  // namespace tmx
