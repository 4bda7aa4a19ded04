#include "backend/settings.h"

#include <algorithm>
#include <vector>

#include "trianglemix/attention.h"

namespace tmx {
namespace {

std::atomic<bool> planned_once{false};

void note_plan(bool is_one) {
    if (is_one) {
        planned_once.store(true, std::memory_order_relaxed);
    }
}

std::string kernel_list() {
    std::string names;
    for (const cpu_kernel_info & kernel : cpu_kernels()) {
        names += names.empty() ? "" : ", ";
        names += kernel.name;
        names += kernel.fast ? " (exact, fast)" : " (exact)";
    }
    return names;
}

}  // namespace

settings::settings(const settings & other)
    : enabled_(other.enabled()),
      min_rows_(other.min_rows()),
      min_keys_(other.min_keys()),
      product_rules_{other.product_rules_[0], other.product_rules_[1]},
      asked_products_(other.asked_products_),
      products_min_rows_(other.products_min_rows_),
      fast_(other.fast_.load(std::memory_order_relaxed)) {
    const std::lock_guard lock(other.mutex_);
    current_ = other.current_;
    asked_ = other.asked_;
}

void settings::apply(const backend_config & config) {
    const std::lock_guard lock(mutex_);
    current_.chosen = config.chosen ? std::make_shared<const plan>(*config.chosen) : nullptr;
    current_.generation++;
    note_plan(current_.chosen != nullptr);
    current_.kernel = config.kernel;
    current_.strict = config.strict;
    asked_ = config.arithmetic;
    min_rows_.store(config.min_rows, std::memory_order_relaxed);
    min_keys_.store(config.min_keys, std::memory_order_relaxed);
    product_rules_[0] = make_product_rules(config, precision::exact);
    product_rules_[1] = make_product_rules(config, precision::fast);
    asked_products_ = config.products;
    products_min_rows_ = config.products_min_rows;
    note_precision();
}

std::string settings::set_plan(const char * json) {
    std::shared_ptr<const plan> chosen;
    if (json != nullptr && *json != '\0') {
        parsed<plan> read = parse_plan(json);
        if (!read.ok()) {
            return read.error;
        }
        chosen = std::make_shared<const plan>(std::move(read.value));
    }
    const std::lock_guard lock(mutex_);
    current_.chosen = std::move(chosen);
    current_.generation++;
    note_plan(current_.chosen != nullptr);
    note_precision();
    return "";
}

std::string settings::set_precision(const char * name) {
    if (name == nullptr || *name == '\0') {
        const std::lock_guard lock(mutex_);
        asked_.reset();
        note_precision();
        return "";
    }
    const parsed<precision> wanted = parse_precision(name);
    if (!wanted.ok()) {
        return wanted.error;
    }
    std::string problem = precision_problem(wanted.value);
    if (problem.empty()) {
        const std::lock_guard lock(mutex_);
        asked_ = wanted.value;
        note_precision();
    }
    return problem;
}

void settings::set_prompt_length(int64_t n_tokens) {
    const std::lock_guard lock(mutex_);
    current_.prompt_length = n_tokens;
}

settings_snapshot settings::snapshot() const {
    const std::lock_guard lock(mutex_);
    settings_snapshot copy = current_;
    copy.arithmetic = precision_in_force();
    return copy;
}

precision settings::precision_in_force() const {
    return asked_.value_or(current_.chosen ? current_.chosen->arithmetic : precision::exact);
}

void settings::note_precision() {
    fast_.store(precision_in_force() == precision::fast, std::memory_order_relaxed);
}

std::string settings::precision_problem(precision wanted) const {
    if (wanted == precision::exact) {
        return "";
    }
    const std::string forced = snapshot().kernel;
    const std::vector<cpu_kernel_info> kernels = cpu_kernels();
    const bool able = std::any_of(kernels.begin(), kernels.end(), [&](const cpu_kernel_info & kernel) {
        return kernel.fast && (forced.empty() || forced == kernel.name);
    });
    if (able) {
        return "";
    }
    std::string text = "precision \"fast\" needs a kernel that multiplies bf16 natively; ";
    text += forced.empty() ? "this CPU runs " : "TRIANGLEMIX_KERNEL=" + forced + " forbids it; this CPU runs ";
    text += kernel_list();
    return text;
}

std::string settings::kernel_problem(const std::string & name) {
    const std::vector<cpu_kernel_info> kernels = cpu_kernels();
    if (name.empty() || std::any_of(kernels.begin(), kernels.end(),
                                    [&](const cpu_kernel_info & kernel) { return name == kernel.name; })) {
        return "";
    }
    std::string text = "TRIANGLEMIX_KERNEL: no kernel \"";
    text += name;
    text += "\" here; this CPU runs ";
    text += kernel_list();
    return text;
}

std::string kernel_in_use(const settings_snapshot & snapshot) {
    for (const cpu_kernel_info & kernel : cpu_kernels()) {
        if ((snapshot.kernel.empty() || snapshot.kernel == kernel.name) &&
            (kernel.fast || snapshot.arithmetic == precision::exact)) {
            return kernel.name;
        }
    }
    return "none";
}

precision attention_precision(const settings_snapshot & snapshot) {
    if (snapshot.arithmetic == precision::exact || !snapshot.kernel.empty()) {
        return snapshot.arithmetic;
    }
    const std::vector<cpu_kernel_info> kernels = cpu_kernels();
    const auto found =
        std::find_if(kernels.begin(), kernels.end(), [](const cpu_kernel_info & kernel) { return kernel.fast; });
    return found != kernels.end() && !found->fast_pays ? precision::exact : snapshot.arithmetic;
}

std::string precision_in_words(const settings_snapshot & snapshot) {
    const std::string text(name_of(snapshot.arithmetic));
    return attention_precision(snapshot) == snapshot.arithmetic ? text
                                                                : text + " (attention exact: faster on this CPU)";
}

bool ever_planned() {
    return planned_once.load(std::memory_order_relaxed);
}

settings & process_settings() {
    static settings & instance = *new settings;  // never destroyed: read while the process exits, in any order
    return instance;
}

}  // namespace tmx
