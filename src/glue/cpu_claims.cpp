#include "glue/cpu_claims.h"

#include <atomic>
#include <memory>

#include "backend/settings.h"
#include "backend/statistics.h"
#include "glue/backend_common.h"
#include "glue/embedding_rows.h"
#include "glue/fattn_view.h"
#include "glue/graph_tensors.h"
#include "glue/key_writes.h"
#include "glue/products/norm_view.h"
#include "glue/products/product_view.h"
#include "glue/proxy/proxy_device.h"

namespace tmx {
namespace {

void warn_flash_attention_is_off() {
    static std::atomic_flag warned;
    if (!warned.test_and_set()) {
        GGML_LOG_WARN(
            "TriangleMix: flash attention is off in this context (-fa off, or -fa auto with very many slots), so its "
            "prompts are left to the host; start it with -fa on\n");
    }
}

// A layer of the plan that is not claimed never comes to an evaluator, so it can only be named here.
void warn_declined(const ggml_tensor * op, decline_reason reason, const settings & current) {
    static std::atomic<uint32_t> said;  // a bit a reason
    const uint32_t bit = uint32_t{1} << static_cast<uint32_t>(reason);
    if (reason == decline_reason::rows || reason == decline_reason::disabled || (said.load() & bit) != 0) {
        return;
    }
    const std::shared_ptr<const plan> chosen = current.snapshot().chosen;
    const auto layer = static_cast<size_t>(layer_of_keys(op->src[1]));  // far beyond any plan if it is not known
    if (chosen != nullptr && layer < chosen->layers.size() && chosen->layers[layer] != layer_plan{} &&
        (said.fetch_or(bit) & bit) == 0) {
        GGML_LOG_WARN(
            "TriangleMix: %s layer %zu of plan %s is left to the host: %s (docs/backend.md). From now on this is "
            "only counted\n",
            chosen->layers[layer].kind == layer_kind::triangle ? "triangle" : "dynamic", layer, chosen->name.c_str(),
            to_string(reason));
    }
}

bool claims_product(const ggml_tensor * op, const settings & current) {
    if (!current.enabled() || !current.products().take_any()) {
        return false;
    }
    auto reason = why_product_declined(op, current.products());
    if (!reason && has_gpu()) {
        reason = product_decline::gpu;
    }
    if (reason) {
        process_statistics().count_declined_product(*reason);
    }
    return !reason;
}

// Norms are taken where products are: between them they cost the host a piece of graph of its own.
bool claims_norm(const ggml_tensor * op, const settings & current) {
    if (!current.enabled() || !current.products().take_any()) {
        return false;
    }
    auto reason = why_norm_declined(op, current.products().least_rows());
    if (!reason && has_gpu()) {
        reason = norm_decline::gpu;
    }
    if (reason) {
        process_statistics().count_declined_norm(*reason);
    }
    return !reason;
}

}  // namespace

bool cpu_claims(const ggml_tensor * op) {
    const settings & current = process_settings();
    if (is_view(op)) {
        return current.enabled();
    }
    switch (op->op) {
        case GGML_OP_FLASH_ATTN_EXT: {
            const auto reason =
                current.enabled() ? why_declined(op, current.min_rows()) : std::optional(decline_reason::disabled);
            if (reason) {
                process_statistics().count_declined(*reason);
                warn_declined(op, *reason, current);
            }
            return !reason;
        }
        case GGML_OP_MUL_MAT:
        case GGML_OP_MUL_MAT_ID:
            return claims_product(op, current);
        case GGML_OP_RMS_NORM:
        case GGML_OP_MUL:
            return is_norm(op) && claims_norm(op, current);
        case GGML_OP_SOFT_MAX:
            if (current.enabled() && softmax_without_flash(op, current.min_rows())) {
                process_statistics().count_declined(decline_reason::no_flash);
                warn_flash_attention_is_off();
            }
            return false;
        case GGML_OP_GET_ROWS:
            return current.enabled() && current.asked_products() != product_way::off &&
                   proxied_host_memory() != nullptr && claims_embeddings(op, current.products_min_rows());
        case GGML_OP_SET_ROWS:
            return current.enabled() && ever_planned() && claims_key_write(op);
        default:
            return false;
    }
}

}  // namespace tmx
