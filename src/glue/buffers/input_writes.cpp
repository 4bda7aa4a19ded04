#include "glue/buffers/input_writes.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace tmx {
namespace {

// What is known of one buffer. An entry stays when its buffer is freed, until another one gets the address: it is small
// then, since what was written is dropped with each computation.
struct notes {
    uint64_t begun = 0;  // stands for the last write of whatever was not written since
    std::unordered_map<const void *, uint64_t> last_writes;            // by address
    std::unordered_map<const void *, std::vector<std::byte>> written;  // by address
    std::vector<ggml_tensor> output_ids;                               // laid out since the last computation
    bool computed = false;
};

struct all_notes {
    std::mutex mutex;
    std::unordered_map<ggml_backend_buffer_t, notes> by_buffer;
    uint64_t last_write = 0;
};

// Never destroyed: buffers may be freed at the very end of the process.
all_notes & all() {
    static auto & made = *new all_notes;
    return made;
}

// REQUIRES the lock is held.
notes * notes_of(ggml_backend_buffer_t buffer) {
    const auto known = all().by_buffer.find(buffer);
    return known != all().by_buffer.end() ? &known->second : nullptr;
}

void note_write(notes & now, const void * address) noexcept {
    const uint64_t number = ++all().last_write;
    constexpr size_t k_most_addresses = size_t{1} << 16;
    try {
        if (now.last_writes.size() < k_most_addresses) {
            now.last_writes[address] = number;
            return;
        }
    } catch (const std::exception &) {
        // as if there were too many
    }
    now.last_writes.clear();
    now.begun = number;
}

void keep_bytes(notes & now, const ggml_tensor * tensor, const void * data, size_t offset, size_t size) noexcept {
    try {
        const bool whole = offset == 0 && size == ggml_nbytes(tensor);
        const bool of_graph = tensor->buffer->usage == GGML_BACKEND_BUFFER_USAGE_COMPUTE;
        if (data != nullptr && whole && of_graph && size <= k_most_kept_bytes) {
            const auto * bytes = static_cast<const std::byte *>(data);
            now.written[tensor->data].assign(bytes, bytes + size);
        } else {
            now.written.erase(tensor->data);
        }
    } catch (const std::exception &) {
        now.written.clear();
    }
}

}  // namespace

bool is_graph_input(const ggml_tensor * tensor) {
    return tensor->op == GGML_OP_NONE && tensor->view_src == nullptr;
}

std::string_view original_name(const ggml_tensor * tensor) {
    const std::string_view name(tensor->name);
    const size_t begin = name.find('#');
    const size_t end = name.rfind('#');
    const bool cut = begin != std::string_view::npos && name.size() == sizeof(tensor->name) - 1;
    if (begin < end) {
        return name.substr(begin + 1, end - begin - 1);
    }
    return cut ? name.substr(begin + 1) : name;
}

bool names_output_ids(const ggml_tensor * tensor) {
    constexpr std::string_view k_name = "out_ids";
    constexpr size_t k_least_letters = 4;
    const std::string_view name = original_name(tensor);
    const bool cut = name.size() >= k_least_letters && name.data() != tensor->name && k_name.starts_with(name);
    return name == k_name || cut;
}

uint64_t last_write_of(const ggml_tensor * input) noexcept {
    const std::lock_guard lock(all().mutex);
    const notes * known = notes_of(input->buffer);
    if (known == nullptr) {
        return 0;
    }
    const auto written = known->last_writes.find(input->data);
    return written != known->last_writes.end() ? written->second : known->begun;
}

bool get_written(const ggml_tensor * input, std::byte * to) noexcept {
    const std::lock_guard lock(all().mutex);
    const notes * known = notes_of(input->buffer);
    if (known == nullptr) {
        return false;
    }
    const auto found = known->written.find(input->data);
    if (found == known->written.end() || found->second.size() != ggml_nbytes(input)) {
        return false;
    }
    std::memcpy(to, found->second.data(), found->second.size());
    return true;
}

std::optional<ggml_tensor> laid_out_output_ids(ggml_backend_buffer_t buffer) noexcept {
    const std::lock_guard lock(all().mutex);
    const notes * known = notes_of(buffer);
    return known != nullptr && known->output_ids.size() == 1 ? std::optional(known->output_ids.front()) : std::nullopt;
}

void note_computation(ggml_backend_buffer_t buffer) noexcept {
    const std::lock_guard lock(all().mutex);
    if (notes * known = notes_of(buffer)) {
        known->computed = true;
        known->written.clear();
    }
}

// Allocates for a buffer that is not known yet only.
void begin_input_notes(ggml_backend_buffer_t buffer) {
    const std::lock_guard lock(all().mutex);
    notes & fresh = all().by_buffer[buffer];
    fresh = {};
    fresh.begun = ++all().last_write;
}

void note_layout(ggml_backend_buffer_t buffer, const ggml_tensor * tensor) noexcept {
    if (!is_graph_input(tensor)) {
        return;
    }
    const std::lock_guard lock(all().mutex);
    notes * known = notes_of(buffer);
    if (known == nullptr) {
        return;
    }
    if (known->computed) {
        known->computed = false;
        known->output_ids.clear();
    }
    if (tensor->type == GGML_TYPE_I32 && ggml_is_vector(tensor) && names_output_ids(tensor)) {
        try {
            // Some hosts lay a tensor out twice.
            std::erase_if(known->output_ids, [&](const ggml_tensor & each) { return each.data == tensor->data; });
            known->output_ids.push_back(*tensor);
        } catch (const std::exception &) {
            known->output_ids.clear();
        }
    }
}

void note_input_write(const ggml_tensor * tensor, const void * data, size_t offset, size_t size) noexcept {
    if (!is_graph_input(tensor)) {
        return;
    }
    const std::lock_guard lock(all().mutex);
    if (notes * known = notes_of(tensor->buffer)) {
        note_write(*known, tensor->data);
        keep_bytes(*known, tensor, data, offset, size);
    }
}

}  // namespace tmx
