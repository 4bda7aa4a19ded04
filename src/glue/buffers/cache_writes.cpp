#include "glue/buffers/cache_writes.h"

#include <algorithm>
#include <exception>
#include <shared_mutex>
#include <string_view>
#include <unordered_map>

#include "backend/runs/cell_table.h"
#include "glue/buffers/input_writes.h"
#include "glue/buffers/mask_messages.h"

namespace tmx {
namespace {

// What the watched buffers' own interfaces were. A freed buffer's entry stays until another buffer gets the address,
// and is not asked for meanwhile: free_buffer, the one sign of a buffer's end, is not ours to replace. Elements of the
// map do not move, so a reference is good without the lock.
class original_interfaces {
  public:
    void set(ggml_backend_buffer_t buffer, const ggml_backend_buffer_i & iface, const mask_patience & patience) {
        const std::unique_lock lock(mutex_);
        by_buffer_[buffer] = {iface, patience, ++last_serial_};
    }
    const mask_patience & patience_of(ggml_backend_buffer_t buffer) noexcept {
        const std::shared_lock lock(mutex_);
        return by_buffer_.find(buffer)->second.patience;
    }
    const ggml_backend_buffer_i & of(ggml_backend_buffer_t buffer) noexcept {
        const std::shared_lock lock(mutex_);
        return by_buffer_.find(buffer)->second.iface;
    }
    uint64_t serial_of(ggml_backend_buffer_t buffer) noexcept {
        const std::shared_lock lock(mutex_);
        const auto known = by_buffer_.find(buffer);
        return known != by_buffer_.end() ? known->second.serial : 0;
    }

  private:
    struct watched {
        ggml_backend_buffer_i iface;
        mask_patience patience;
        uint64_t serial;
    };
    std::shared_mutex mutex_;
    std::unordered_map<ggml_backend_buffer_t, watched> by_buffer_;
    uint64_t last_serial_ = 0;
};

class watch_list {
  public:
    void add(cache_watch * watch) {
        const std::unique_lock lock(mutex_);
        watches_.push_back(watch);
    }
    void remove(cache_watch * watch) {
        const std::unique_lock lock(mutex_);
        std::erase(watches_, watch);
    }
    void note(cache_access::kind what, const std::byte * begin, size_t n_bytes, const void * bytes) noexcept {
        const std::shared_lock lock(mutex_);
        for (cache_watch * watch : watches_) {
            watch->note(what, begin, begin + n_bytes, bytes);
        }
    }

  private:
    std::shared_mutex mutex_;
    std::vector<cache_watch *> watches_;
};

// Never destroyed: buffers may be freed at the very end of the process.
original_interfaces & originals() {
    static auto & all = *new original_interfaces;
    return all;
}

watch_list & watches() {
    static auto & all = *new watch_list;
    return all;
}

void note(cache_access::kind what, const ggml_tensor * tensor, size_t offset, size_t size,
          const void * bytes) noexcept {
    const ggml_tensor * whole = tensor->view_src != nullptr ? tensor->view_src : tensor;
    if (std::string_view(whole->name).starts_with("cache_k_l")) {
        watches().note(what, static_cast<const std::byte *>(tensor->data) + offset, size, bytes);
    }
}

using kind = cache_access::kind;

void note_replaced(const ggml_tensor * tensor, const void * data, size_t offset, size_t size) noexcept {
    note(kind::replaced, tensor, offset, size, data);
    note_input_write(tensor, data, offset, size);
}

ggml_status buffer_init(ggml_backend_buffer_t buffer, ggml_tensor * tensor) {
    note_layout(buffer, tensor);
    const auto theirs = originals().of(buffer).init_tensor;
    return theirs != nullptr ? theirs(buffer, tensor) : GGML_STATUS_SUCCESS;
}

void buffer_memset(ggml_backend_buffer_t buffer, ggml_tensor * tensor, uint8_t value, size_t offset, size_t size) {
    note_replaced(tensor, nullptr, offset, size);
    send_mask_of(tensor);
    originals().of(buffer).memset_tensor(buffer, tensor, value, offset, size);
}

void buffer_set(ggml_backend_buffer_t buffer, ggml_tensor * tensor, const void * data, size_t offset, size_t size) {
    const ggml_backend_buffer_i & theirs = originals().of(buffer);
    if (is_mask_message(tensor)) {
        note_replaced(tensor, nullptr, 0, ggml_nbytes(tensor));
        return receive_mask(buffer, tensor, data, size, theirs);
    }
    note_replaced(tensor, data, offset, size);
    if (hold_mask(buffer, tensor, data, offset, size, originals().patience_of(buffer), theirs)) {
        return;
    }
    send_mask_of(tensor);
    if (!send_mask(buffer, tensor, data, offset, size, theirs)) {
        theirs.set_tensor(buffer, tensor, data, offset, size);
    }
}

void buffer_get(ggml_backend_buffer_t buffer, const ggml_tensor * tensor, void * data, size_t offset, size_t size) {
    send_mask_of(tensor);
    originals().of(buffer).get_tensor(buffer, tensor, data, offset, size);
    note(kind::saved, tensor, offset, size, data);
}

void buffer_set_2d(ggml_backend_buffer_t buffer, ggml_tensor * tensor, const void * data, size_t offset, size_t size,
                   size_t n_copies, size_t stride_tensor, size_t stride_data) noexcept {
    for (size_t i = 0; i < n_copies; ++i) {
        note_replaced(tensor, nullptr, offset + i * stride_tensor, size);
    }
    send_mask_of(tensor);
    originals().of(buffer).set_tensor_2d(buffer, tensor, data, offset, size, n_copies, stride_tensor, stride_data);
}

bool buffer_copy(ggml_backend_buffer_t buffer, const ggml_tensor * source, ggml_tensor * target) {
    note_replaced(target, nullptr, 0, ggml_nbytes(target));
    send_mask_of(source);
    send_mask_of(target);
    return originals().of(buffer).cpy_tensor(buffer, source, target);
}

void buffer_clear(ggml_backend_buffer_t buffer, uint8_t value) noexcept {
    const auto * begin = static_cast<const std::byte *>(ggml_backend_buffer_get_base(buffer));
    watches().note(kind::replaced, begin, ggml_backend_buffer_get_size(buffer), nullptr);
    begin_input_notes(buffer);
    forget_masks_of(buffer);
    originals().of(buffer).clear(buffer, value);
}

}  // namespace

cache_watch::cache_watch(const ggml_tensor * cache)
    : base_(static_cast<const std::byte *>(cache->data)),
      row_bytes_(cache->nb[1]),
      n_rows_(static_cast<int64_t>(ggml_nbytes(cache) / cache->nb[1])) {
    watches().add(this);
}

cache_watch::~cache_watch() {
    watches().remove(this);
}

std::optional<std::vector<cache_access>> cache_watch::take() {
    const std::lock_guard lock(mutex_);
    std::vector<cache_access> taken;
    taken.swap(notes_);
    n_notes_ = 0;
    const bool given_up = given_up_;
    given_up_ = false;
    return given_up ? std::nullopt : std::optional(std::move(taken));
}

void cache_watch::note(cache_access::kind what, const std::byte * begin, const std::byte * end,
                       const void * bytes) noexcept {
    const std::byte * const all = base_ + static_cast<size_t>(n_rows_) * row_bytes_;
    const bool inside = base_ <= begin && end <= all;
    begin = std::max(begin, base_);
    end = std::min(end, all);
    if (begin >= end) {
        return;
    }
    const auto from = static_cast<size_t>(begin - base_);
    const auto to = static_cast<size_t>(end - base_);
    const bool whole_rows = inside && from % row_bytes_ == 0 && to % row_bytes_ == 0;
    if (what == cache_access::kind::saved && (!whole_rows || bytes == nullptr)) {
        return;
    }
    const std::lock_guard lock(mutex_);
    try {
        cache_access noted{.what = what,
                           .first = static_cast<int64_t>(from / row_bytes_),
                           .n = static_cast<int64_t>((to + row_bytes_ - 1) / row_bytes_ - from / row_bytes_),
                           .keys = {}};
        n_notes_ += 1 + (whole_rows && bytes != nullptr ? static_cast<size_t>(noted.n) : 0);
        if (given_up_ || n_notes_ > k_most_notes) {
            given_up_ = true;
            notes_.clear();
            return;
        }
        if (whole_rows && bytes != nullptr) {
            const auto * key = static_cast<const std::byte *>(bytes);
            for (int64_t i = 0; i < noted.n; ++i, key += row_bytes_) {
                noted.keys.push_back(key_hash(key, row_bytes_));
            }
        }
        notes_.push_back(std::move(noted));
    } catch (const std::exception &) {
        given_up_ = true;
        notes_.clear();
    }
}

bool watch_cache_writes(ggml_backend_buffer_t buffer, const mask_patience & patience) noexcept {
    try {
        ggml_backend_buffer_i & iface = buffer->iface;
        originals().set(buffer, iface, patience);
        begin_input_notes(buffer);
        forget_masks_of(buffer);
        // What the buffer leaves out stays left out: ggml tells by the null pointer.
        const auto replace = [](auto & theirs, auto ours) { theirs = theirs != nullptr ? ours : nullptr; };
        iface.init_tensor = &buffer_init;
        replace(iface.memset_tensor, &buffer_memset);
        replace(iface.set_tensor, &buffer_set);
        replace(iface.get_tensor, &buffer_get);
        replace(iface.set_tensor_2d, &buffer_set_2d);
        replace(iface.cpy_tensor, &buffer_copy);
        replace(iface.clear, &buffer_clear);
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

uint64_t serial_of(ggml_backend_buffer_t buffer) noexcept {
    return originals().serial_of(buffer);
}

void note_host_write(const ggml_tensor * tensor, const void * data, size_t offset, size_t size) noexcept {
    note(kind::replaced, tensor, offset, size, nullptr);
    note_input_write(tensor, data, offset, size);
    send_mask_of(tensor);
}

}  // namespace tmx
