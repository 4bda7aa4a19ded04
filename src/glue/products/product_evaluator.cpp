#include "glue/products/product_evaluator.h"

#include "backend/product_settings.h"
#include "backend/stopwatch.h"
#include "glue/products/product_view.h"

namespace tmx {
namespace {

// Whether a computed product has one matrix of rows, which are as they were: so the products with the same rows that
// follow, as those of Q, K and V, or of gate and up, need not round them again.
bool leaves_its_rows(const ggml_tensor * node) {
    const ggml_tensor * rows = node->src[1];
    const auto * rows_begin = static_cast<const char *>(rows->data);
    const auto * out_begin = static_cast<const char *>(node->data);
    const bool apart = rows_begin + ggml_nbytes(rows) <= out_begin || out_begin + ggml_nbytes(node) <= rows_begin;
    return node->op == GGML_OP_MUL_MAT && rows->ne[2] * rows->ne[3] == 1 && apart;
}

}  // namespace

status product_evaluator::multiply(const ggml_tensor * node, product_arithmetic arithmetic) {
    if (node->op == GGML_OP_MUL_MAT_ID) {
        expert_product_args args = expert_product_of(node);
        args.first.arithmetic = arithmetic;
        return multiply_expert_rows(args, context_, experts_);
    }
    for (int64_t i3 = 0; i3 < node->ne[3]; ++i3) {
        for (int64_t i2 = 0; i2 < node->ne[2]; ++i2) {
            product_args args = product_of(node, i2, i3);
            args.arithmetic = arithmetic;
            args.rows_unchanged = rounded_ == node->src[1];
            if (status s = multiply_rows(args, context_); !s.ok()) {
                return s;
            }
        }
    }
    return {};
}

ggml_status product_evaluator::compute(const ggml_tensor * node) {
    if (const auto reason = why_product_impossible(node)) {
        GGML_LOG_ERROR("TriangleMix: asked for a product it does not support (%s)\n", to_string(*reason));
        return GGML_STATUS_FAILED;
    }
    if (kernel_.empty()) {  // forced at load, if at all
        kernel_ = product_kernel(settings_.snapshot().kernel);
        context_.kernel = kernel_.c_str();
    }
    const stopwatch watch;
    const weight_type weights = *product_weights(node->src[0]->type);
    const product_arithmetic arithmetic = settings_.products().of(weights).arithmetic;
    const status result = multiply(node, arithmetic);
    rounded_ = result.ok() && leaves_its_rows(node) ? node->src[1] : nullptr;
    if (!result.ok()) {
        GGML_LOG_ERROR("TriangleMix: product %s failed: %s\n", node->name, result.message());
        return result.code() == status_code::out_of_memory ? GGML_STATUS_ALLOC_FAILED : GGML_STATUS_FAILED;
    }
    product_counts done;
    done.nodes = 1;
    done.flops = 2.0 * static_cast<double>(ggml_nelements(node)) * static_cast<double>(node->src[0]->ne[0]);
    done.seconds = watch.seconds();
    statistics_.count_product({weights, arithmetic}, done);
    return GGML_STATUS_SUCCESS;
}

}  // namespace tmx
