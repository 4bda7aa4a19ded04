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
    explicit rule_selector(const selection_rule & rule) : rule_(rule) {}

    int64_t workspace_bytes(const attention_args & args,
                            std::span<const cuda_selected_rows> rows) const noexcept override {
        const method_row & row = row_of_method(rule_.method);
        return row.cuda_workspace_bytes != nullptr ? row.cuda_workspace_bytes(rule_, args, rows) : 0;
    }

    status select(const cuda_selection_call & call) const noexcept override try {
        return row_of_method(rule_.method).on_cuda(rule_, call);
    } catch (const std::bad_alloc &) {
        return status::error(status_code::out_of_memory, "no host memory to select blocks");
    } catch (const std::exception & e) {
        return status::error(status_code::device_error, "selecting blocks: %s", e.what());
    }

  private:
    selection_rule rule_;
};

bool has_cuda_form(const selection_rule & rule) {
    return check_rule(rule).ok() && row_of_method(rule.method).on_cuda != nullptr;
}

}  // namespace

std::shared_ptr<const cuda_selector> cuda_selector_of(const selection_rule & rule) {
    return has_cuda_form(rule) ? std::make_shared<rule_selector>(rule) : nullptr;
}

std::shared_ptr<const cuda_selector> cuda_selector_of(const selection_request & request) {
    if (!request.heads_differ()) {
        return cuda_selector_of(request.rule);
    }
#ifdef TMX_CUDA
    const std::span<const selection_rule> rules = request.heads.rules;
    return std::all_of(rules.begin(), rules.end(), has_cuda_form) ? make_heads_selector(request) : nullptr;
#else
    return nullptr;
#endif
}

}  // namespace tmx
