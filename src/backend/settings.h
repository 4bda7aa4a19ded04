// What the host may change while it runs: environment at load, proc addresses afterwards. The process has a set, and
// each context one of its own (host_context.h), which starts as a copy.
//
// THREADS  Any thread. An evaluation takes a snapshot when it starts and keeps it to its end.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "backend/backend_config.h"
#include "backend/product_settings.h"
#include "trianglemix/plan.h"

namespace tmx {

struct settings_snapshot {
    std::shared_ptr<const plan> chosen;  // null: everything exact
    uint64_t generation = 0;             // grows with every change of the plan
    precision arithmetic = precision::exact;
    std::string kernel;          // "": the best
    int64_t prompt_length = -1;  // < 0: unknown
    bool strict = false;
};

class settings {
  public:
    settings() = default;
    settings(const settings & other);
    settings & operator=(const settings &) = delete;

    void apply(const backend_config & config);

    // Return "" or what was wrong; then nothing changes.
    std::string set_plan(const char * json);
    std::string set_precision(const char * name);
    void set_prompt_length(int64_t n_tokens);
    void set_enabled(bool enabled) { enabled_.store(enabled, std::memory_order_relaxed); }

    bool enabled() const { return enabled_.load(std::memory_order_relaxed); }
    int64_t min_rows() const { return min_rows_.load(std::memory_order_relaxed); }
    // Of what is in force; changed by apply() alone, but for which of them the precision picks.
    const product_rules & products() const { return product_rules_[fast_.load(std::memory_order_relaxed) ? 1 : 0]; }
    product_way asked_products() const { return asked_products_; }
    std::optional<int64_t> products_min_rows() const { return products_min_rows_; }  // asked for; none: as measured
    int64_t min_keys() const { return min_keys_.load(std::memory_order_relaxed); }
    settings_snapshot snapshot() const;

    // "" if this CPU, with the kernel that was forced, computes with that precision, else why not.
    std::string precision_problem(precision wanted) const;
    // Likewise for the name of a kernel; "" is good.
    static std::string kernel_problem(const std::string & name);

  private:
    void note_precision();  // REQUIRES mutex_ is held
    precision precision_in_force() const;

    mutable std::mutex mutex_;
    settings_snapshot current_;
    std::optional<precision> asked_;  // by the user; wins over the plan's
    std::atomic<bool> enabled_{true};
    std::atomic<int64_t> min_rows_{k_default_min_rows};
    std::atomic<int64_t> min_keys_{k_default_min_keys};
    product_rules product_rules_[2];  // with exact and with fast precision
    product_way asked_products_ = product_way::off;
    std::optional<int64_t> products_min_rows_;
    std::atomic<bool> fast_{false};  // the precision in force
};

// What is in force: the CPU kernel that computes with this snapshot, and the precision it computes with.
std::string kernel_in_use(const settings_snapshot & snapshot);
// Of attention: fast is never slower, so exact where the CPU's bf16 products are, unless a kernel was forced.
precision attention_precision(const settings_snapshot & snapshot);
// "exact", "fast", or both where attention differs from the rest.
std::string precision_in_words(const settings_snapshot & snapshot);

settings & process_settings();

// Whether any settings of the process have ever held a plan: then the order of keys matters.
bool ever_planned();

}  // namespace tmx
