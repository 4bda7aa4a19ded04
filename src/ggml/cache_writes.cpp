#include "ggml/cache_writes.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

#include "ggml/backend_common.h"

namespace tmx {
namespace {

// What the watched buffers' own interfaces were. A freed buffer's entry stays until another buffer gets the address,
// and is not asked for meanwhile: free_buffer, the one sign of a buffer's end, is not ours to replace.
class original_interfaces {
  public:
    void set(ggml_backend_buffer_t buffer, const ggml_backend_buffer_i & iface) {
        const std::lock_guard lock(mutex_);
        by_buffer_[buffer] = iface;
    }
    // REQUIRES set(buffer).
    ggml_backend_buffer_i of(ggml_backend_buffer_t buffer) noexcept {
        const std::lock_guard lock(mutex_);
        return by_buffer_.find(buffer)->second;
    }

  private:
    std::mutex mutex_;
    std::unordered_map<ggml_backend_buffer_t, ggml_backend_buffer_i> by_buffer_;
};

original_interfaces & originals() {
    static auto & all = *new original_interfaces;
    return all;
}

void wrote(const ggml_tensor * tensor, size_t offset, size_t size) noexcept {
    const ggml_tensor * whole = tensor->view_src != nullptr ? tensor->view_src : tensor;
    if (std::string_view(whole->name).starts_with("cache_k_l")) {
        const std::byte * begin = static_cast<const std::byte *>(tensor->data) + offset;
        cache_writes().wrote({begin, begin + size});
    }
}

void buffer_memset(ggml_backend_buffer_t buffer, ggml_tensor * tensor, uint8_t value, size_t offset,
                   size_t size) noexcept {
    wrote(tensor, offset, size);
    originals().of(buffer).memset_tensor(buffer, tensor, value, offset, size);
}

void buffer_set(ggml_backend_buffer_t buffer, ggml_tensor * tensor, const void * data, size_t offset,
                size_t size) noexcept {
    wrote(tensor, offset, size);
    originals().of(buffer).set_tensor(buffer, tensor, data, offset, size);
}

void buffer_set_2d(ggml_backend_buffer_t buffer, ggml_tensor * tensor, const void * data, size_t offset, size_t size,
                   size_t n_copies, size_t stride_tensor, size_t stride_data) noexcept {
    for (size_t i = 0; i < n_copies; ++i) {
        wrote(tensor, offset + i * stride_tensor, size);
    }
    originals().of(buffer).set_tensor_2d(buffer, tensor, data, offset, size, n_copies, stride_tensor, stride_data);
}

bool buffer_copy(ggml_backend_buffer_t buffer, const ggml_tensor * source, ggml_tensor * target) noexcept {
    wrote(target, 0, ggml_nbytes(target));
    return originals().of(buffer).cpy_tensor(buffer, source, target);
}

void buffer_clear(ggml_backend_buffer_t buffer, uint8_t value) noexcept {
    const auto * begin = static_cast<const std::byte *>(ggml_backend_buffer_get_base(buffer));
    cache_writes().wrote({begin, begin + ggml_backend_buffer_get_size(buffer)});
    originals().of(buffer).clear(buffer, value);
}

}  // namespace

void write_journal::wrote(byte_range range) noexcept {
    const std::lock_guard lock(mutex_);
    // A state comes in many pieces, one behind the other.
    if (n_written_ > n_read_ && at(n_written_ - 1).end == range.begin) {
        at(n_written_ - 1).end = range.end;
        return;
    }
    at(n_written_++) = range;
}

std::vector<byte_range> write_journal::since(uint64_t & seen, byte_range of) {
    const std::lock_guard lock(mutex_);
    std::vector<byte_range> found;
    const uint64_t oldest = n_written_ - std::min<uint64_t>(n_written_, k_most_ranges);
    if (seen < oldest) {
        found.push_back(of);
    }
    for (uint64_t i = std::max(seen, oldest); i < n_written_; ++i) {
        const byte_range common = {std::max(at(i).begin, of.begin), std::min(at(i).end, of.end)};
        if (common.begin < common.end) {
            found.push_back(common);
        }
    }
    seen = n_read_ = n_written_;
    return found;
}

write_journal & cache_writes() {
    static auto & journal = *new write_journal;
    return journal;
}

void watch_cache_writes(ggml_backend_buffer_t buffer) {
    static_cast<void>(cache_writes());  // what allocates memory comes first
    ggml_backend_buffer_i & iface = buffer->iface;
    originals().set(buffer, iface);
    // What the buffer leaves out stays left out: ggml tells by the null pointer.
    const auto replace = [](auto & theirs, auto ours) { theirs = theirs != nullptr ? c_callback(ours) : nullptr; };
    replace(iface.memset_tensor, &buffer_memset);
    replace(iface.set_tensor, &buffer_set);
    replace(iface.set_tensor_2d, &buffer_set_2d);
    replace(iface.cpy_tensor, &buffer_copy);
    replace(iface.clear, &buffer_clear);
}

}  // namespace tmx
