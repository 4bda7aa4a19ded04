// What the settings ask of each layer during one evaluation: the plan held against the running model, and what strict
// mode forbids. One per backend instance; shared by the CPU device and the GPU proxies.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "ggml/abi.h"
#include "ggml/node_work.h"
#include "ggml/settings.h"
#include "ggml/statistics.h"
#include "ggml/ubatch_runs.h"

namespace tmx {

class layer_rules {
  public:
    layer_rules(settings & current, statistics & counters) : settings_(current), statistics_(counters) {}

    // Takes the settings that hold until the next call.
    void begin();
    settings_snapshot & now() { return now_; }

    // Once per context and change of the plan: does it fit the model whose graph this is? The answer goes into the log,
    // which calls the kernel that will compute by `kernel`.
    void check_plan(const ggml_cgraph * graph, const std::string & kernel);

    // How a layer with that many heads is to be treated. The rule points into what the plan was compiled to: good until
    // the next begin().
    layer_rule rule_of(int32_t layer, int64_t n_head);

    // Counts a triangle layer of which at least one stretch of `least_rows` or more cannot be treated by the plan; and,
    // where there are triangle layers, masked attention of a layer that is not known, which may be one of them.
    // False: strict mode forbids to go on, or the plan does not fit; why is in the log.
    bool permits(int32_t layer, const layer_rule & rule, const ubatch_runs & found, int64_t least_rows);
    // The same for a triangle layer that cannot be treated for another reason than its rows.
    bool permits_exact(int32_t layer, const layer_rule & rule, const char * reason);

  private:
    void describe_plan(const model_shape & running, const std::string & kernel) const;
    bool may_be_planned(int32_t layer, const layer_rule & rule, const char * reason) const;
    void fell_back(int32_t layer, const char * reason);
    void warn_of_length(const ubatch_runs & found);

    settings & settings_;
    statistics & statistics_;
    settings_snapshot now_;
    compiled_rules compiled_;           // of the plan
    uint64_t compiled_generation_ = 0;  // of that plan; 0: none yet
    uint64_t checked_generation_ = 0;   // of the plan that `refusal_` speaks of; 0: none yet
    std::string way_;                   // kernel, precision and plan of this evaluation, for the counters; "": unknown
    std::string refusal_;               // why the plan does not fit the running model; "" if it does
    std::set<std::string> said_;        // reasons of falling back that the log has named
    int64_t measured_ = 0;              // longest prompt that the plan was measured on; 0: unknown, or said already
};

}  // namespace tmx
