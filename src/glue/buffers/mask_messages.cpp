#include "glue/buffers/mask_messages.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "backend/runs/mask_code.h"
#include "backend/statistics.h"
#include "glue/buffers/cache_writes.h"
#include "glue/buffers/input_writes.h"

namespace tmx {
namespace {

constexpr std::string_view k_message_name = "TriangleMix: mask in few bytes, version 1";
static_assert(k_message_name.size() < GGML_MAX_NAME);
constexpr size_t k_least_saving = 16;  // a code is used if it takes less than this part of the mask

using question = std::array<uint32_t, 4>;
constexpr uint32_t k_question_word = 0x3f6b736d;  // "msk?"

ggml_tensor message_about(const ggml_tensor * mask) {
    ggml_tensor message = *mask;
    std::snprintf(message.name, sizeof(message.name), "%s", k_message_name.data());
    return message;
}

// Where it lies on another host.
bool is_remote(ggml_backend_buffer_t buffer) {
    return std::string_view(ggml_backend_buft_name(ggml_backend_buffer_get_type(buffer))).starts_with("RPC");
}

bool is_whole_mask(ggml_backend_buffer_t buffer, const ggml_tensor * tensor, size_t offset, size_t size) {
    return size > k_most_kept_bytes && tensor->type == GGML_TYPE_F16 && is_graph_input(tensor) &&
           ggml_is_contiguous(tensor) && offset == 0 && size == ggml_nbytes(tensor) &&
           ggml_backend_buffer_get_usage(buffer) == GGML_BACKEND_BUFFER_USAGE_COMPUTE;
}

// Which buffers' devices understand messages, by the buffers' numbers: another server may take over an address.
class known_buffers {
  public:
    template <class Ask>
    bool understands(uint64_t serial, const Ask & ask) {
        const std::lock_guard lock(mutex_);
        const auto known = by_serial_.find(serial);
        return known != by_serial_.end() ? known->second : by_serial_.emplace(serial, ask()).first->second;
    }

  private:
    std::mutex mutex_;
    std::unordered_map<uint64_t, bool> by_serial_;
};

known_buffers & known() {
    static auto & all = *new known_buffers;
    return all;
}

// A device of ours turns the question's bits around, where any other keeps it as it was written.
bool ask(ggml_backend_buffer_t buffer, const ggml_tensor * mask, const ggml_backend_buffer_i & theirs) {
    ggml_tensor message = message_about(mask);
    const question asked = {k_question_word, 0x54726961, 0x6e676c65, 0x4d697800};
    question answer{};
    theirs.set_tensor(buffer, &message, asked.data(), 0, sizeof(asked));
    theirs.get_tensor(buffer, mask, answer.data(), 0, sizeof(answer));
    for (size_t i = 0; i < asked.size(); ++i) {
        if (answer[i] != ~asked[i]) {
            return false;
        }
    }
    return true;
}

int64_t rows_of(const ggml_tensor * mask) {
    return ggml_nelements(mask) / mask->ne[0];
}

bool write_decoded(ggml_backend_buffer_t buffer, ggml_tensor * mask, std::span<const uint32_t> code,
                   const ggml_backend_buffer_i & theirs) {
    constexpr int64_t k_block_bytes = 8 << 20;
    const auto row_bytes = static_cast<int64_t>(mask->nb[1]);
    return ggml_is_contiguous(mask) && mask->type == GGML_TYPE_F16 && ggml_nelements(mask) > 0 &&
           decode_mask(code, rows_of(mask), mask->ne[0], std::max<int64_t>(1, k_block_bytes / row_bytes),
                       [&](const uint16_t * rows, int64_t first, int64_t n) {
                           theirs.set_tensor(buffer, mask, rows, static_cast<size_t>(first * row_bytes),
                                             static_cast<size_t>(n * row_bytes));
                       });
}

}  // namespace

bool send_mask(ggml_backend_buffer_t buffer, const ggml_tensor * tensor, const void * data, size_t offset, size_t size,
               const ggml_backend_buffer_i & theirs) noexcept {
    try {
        if (!is_whole_mask(buffer, tensor, offset, size) || !is_remote(buffer) ||
            !known().understands(serial_of(buffer), [&] { return ask(buffer, tensor, theirs); })) {
            return false;
        }
        const std::vector<uint32_t> code =
            encode_mask(static_cast<const uint16_t *>(data), rows_of(tensor), tensor->ne[0], size / k_least_saving);
        if (code.empty()) {
            return false;
        }
        ggml_tensor message = message_about(tensor);
        theirs.set_tensor(buffer, &message, code.data(), 0, code.size() * sizeof(uint32_t));
        process_statistics().count_short_mask();
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

bool is_mask_message(const ggml_tensor * tensor) {
    return tensor->name == k_message_name;
}

void receive_mask(ggml_backend_buffer_t buffer, const ggml_tensor * tensor, const void * data, size_t size,
                  const ggml_backend_buffer_i & theirs) noexcept {
    ggml_tensor mask = *tensor;
    question asked{};
    if (size == sizeof(asked)) {
        std::memcpy(asked.data(), data, sizeof(asked));
        if (asked[0] == k_question_word) {
            for (uint32_t & word : asked) {
                word = ~word;
            }
            return theirs.set_tensor(buffer, &mask, asked.data(), 0, sizeof(asked));
        }
    }
    try {
        std::vector<uint32_t> code(size / sizeof(uint32_t));
        std::memcpy(code.data(), data, code.size() * sizeof(uint32_t));
        if (write_decoded(buffer, &mask, code, theirs)) {
            return;
        }
    } catch (const std::exception &) {  // no memory
    }
    GGML_LOG_ERROR(
        "TriangleMix: an attention mask from another host could not be read; its answers will be no numbers\n");
    if (theirs.memset_tensor != nullptr) {
        theirs.memset_tensor(buffer, &mask, 0xff, 0, ggml_nbytes(&mask));  // NaN
    }
}

}  // namespace tmx
