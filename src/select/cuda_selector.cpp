#include <algorithm>
#include <exception>
#include <new>

#include "select/methods.h"
#ifdef TMX_CUDA
#include "select/cuda/heads_selector.h"
#endif

namespace tmx {
namespace {

class rule_selector final : public cuda_selector {
  public:
    rule_selector(const selection_rule & rule, const rotary_layout & rotary) : rule_(rule), rotary_(rotary) {}

    int64_t block_keys() const noexcept override { return block_keys_of(rule_); }

    double expected_share() const noexcept override {
        const std::span<const selection_parameter> parameters = selection_method_of(rule_.method).parameters;
        for (size_t i = 0; i < parameters.size(); ++i) {
            if (parameters[i].name == "keep" && rule_.values[i] > 0) {
                return rule_.values[i];
            }
        }
        return 1;
    }

    int64_t workspace_bytes(const attention_args & args,
                            std::span<const cuda_selected_rows> rows) const noexcept override {
        const method_row & row = row_of_method(rule_.method);
        return row.cuda_workspace_bytes != nullptr ? row.cuda_workspace_bytes(rule_, args, rows) : 0;
    }

    status select(const cuda_selection_call & call) const noexcept override try {
        cuda_selection_call told = call;
        told.rotary = rotary_;
        return row_of_method(rule_.method).on_cuda(rule_, told);
    } catch (const std::bad_alloc &) {
        return status::error(status_code::out_of_memory, "no host memory to select blocks");
    } catch (const std::exception & e) {
        return status::error(status_code::device_error, "selecting blocks: %s", e.what());
    }

  private:
    selection_rule rule_;
    rotary_layout rotary_;
};

bool has_cuda_form(const selection_rule & rule, const rotary_layout & rotary) {
    return check_rule(rule).ok() && row_of_method(rule.method).on_cuda != nullptr && !lacks_rotary(rule, rotary);
}

}  // namespace

std::shared_ptr<const cuda_selector> cuda_selector_of(const selection_rule & rule, const rotary_layout & rotary) {
    return has_cuda_form(rule, rotary) ? std::make_shared<rule_selector>(rule, rotary) : nullptr;
}

std::shared_ptr<const cuda_selector> cuda_selector_of(const selection_request & request) {
    if (!request.heads_differ()) {
        return cuda_selector_of(request.rule, request.rotary);
    }
#ifdef TMX_CUDA
    const bool able = std::all_of(request.heads.rules.begin(), request.heads.rules.end(),
                                  [&](const selection_rule & rule) { return has_cuda_form(rule, request.rotary); });
    return able ? make_heads_selector(request) : nullptr;
#else
    return nullptr;
#endif
}

}  // namespace tmx
