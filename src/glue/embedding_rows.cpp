#include "glue/embedding_rows.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <thread>
#include <vector>

#include "glue/backend_common.h"

namespace tmx {
namespace {

constexpr int64_t k_part_bytes = 4 << 20;    // of the result, to a thread: a millisecond; to start one takes 30 us
constexpr int64_t k_least_bytes = 16 << 20;  // more than what llama.cpp asks about when it loads weights: 512 rows
constexpr int64_t k_most_threads = 8;        // they share the memory's bandwidth

bool look_up(const ggml_tensor * node, int64_t begin, int64_t end) {
    const ggml_tensor * weights = node->src[0];
    const auto * ids = static_cast<const int32_t *>(node->src[1]->data);
    const ggml_to_float_t to_float = ggml_get_type_traits(weights->type)->to_float;
    const int64_t n = weights->ne[0];
    for (int64_t row = begin; row < end; ++row) {
        if (ids[row] < 0 || ids[row] >= weights->ne[1]) {
            return false;
        }
        const char * from = static_cast<const char *>(weights->data) + static_cast<size_t>(ids[row]) * weights->nb[1];
        auto * to = reinterpret_cast<float *>(static_cast<char *>(node->data) + static_cast<size_t>(row) * node->nb[1]);
        if (to_float != nullptr) {
            to_float(from, to, n);
        } else {
            std::memcpy(to, from, static_cast<size_t>(n) * sizeof(float));
        }
    }
    return true;
}

}  // namespace

bool claims_embeddings(const ggml_tensor * op, std::optional<int64_t> least_rows) {
    const ggml_tensor * weights = op->src[0];
    const ggml_tensor * ids = op->src[1];
    const bool convertible = weights->type == GGML_TYPE_F32 || ggml_get_type_traits(weights->type)->to_float != nullptr;
    const bool enough = least_rows ? op->ne[1] >= *least_rows : ggml_nelements(op) * 4 > k_least_bytes;
    return op->op == GGML_OP_GET_ROWS && op->type == GGML_TYPE_F32 && convertible && enough &&
           weights->op == GGML_OP_NONE && weights->view_src == nullptr && in_plain_memory(weights) &&
           ggml_is_matrix(weights) && weights->nb[0] == ggml_type_size(weights->type) && ids->type == GGML_TYPE_I32 &&
           ggml_is_vector(ids) && ggml_is_contiguous(ids) && ggml_is_contiguous(op);
}

bool look_up_embeddings(const ggml_tensor * node, int n_threads) {
    const int64_t n_rows = node->ne[1];
    const int64_t n_parts = std::clamp<int64_t>(static_cast<int64_t>(ggml_nbytes(node)) / k_part_bytes, 1,
                                                std::clamp<int64_t>(n_threads, 1, k_most_threads));
    std::atomic<bool> found{true};
    const auto look_up_part = [&](int64_t part) noexcept {
        if (!look_up(node, part * n_rows / n_parts, (part + 1) * n_rows / n_parts)) {
            found.store(false, std::memory_order_relaxed);
        }
    };
    int64_t part = 1;  // the first is this thread's, and those that get no thread
    {
        std::vector<std::jthread> threads;
        try {
            threads.reserve(static_cast<size_t>(n_parts));
            for (; part < n_parts; ++part) {
                threads.emplace_back(look_up_part, part);
            }
        } catch (const std::exception &) {  // no more threads, or no memory for one
        }
        look_up_part(0);
        for (; part < n_parts; ++part) {
            look_up_part(part);
        }
    }
    return found.load(std::memory_order_relaxed);
}

}  // namespace tmx
