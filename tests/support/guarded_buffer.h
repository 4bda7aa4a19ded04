// guarded_buffer.h -- memory that shows every read or write that should not have happened.
//
// The data ends flush with a page that may not be touched and starts behind a strip of canary bytes on a page of its
// own, with another forbidden page before it: an overrun faults at once, a short underrun is found by canary_intact().
// Data starts as bytes 0xff, which is NaN in f32, f16 and bf16 and a NaN scale in q8_0 and q4_0. Ending at a page
// boundary, the data is aligned to its element size and to nothing more.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

namespace tmx::test {

class guarded_buffer {
  public:
    guarded_buffer() = default;

    // Throws std::bad_alloc if the memory cannot be mapped.
    explicit guarded_buffer(size_t bytes) : size_(bytes) {
        const size_t page = page_bytes();
        const size_t body = (bytes + k_canary_bytes + page - 1) / page * page;
        map(body + 2 * page, PROT_NONE);
        if (mprotect(mapping_ + page, body, PROT_READ | PROT_WRITE) != 0) {
            release();
            throw std::bad_alloc();
        }
        data_ = mapping_ + page + body - bytes;
        canary_begin_ = mapping_ + page;
        std::memset(canary_begin_, k_canary, static_cast<size_t>(data_ - canary_begin_));
        std::memset(data_, k_poison, bytes);
    }

    // Address space of any size; pages exist, as zeros, once they are touched. No canary, no poison.
    static guarded_buffer sparse(size_t bytes) {
        guarded_buffer result;
        result.size_ = bytes;
        result.map(bytes, PROT_READ | PROT_WRITE);
        result.data_ = result.canary_begin_ = result.mapping_;
        return result;
    }

    guarded_buffer(guarded_buffer && other) noexcept { *this = std::move(other); }
    guarded_buffer & operator=(guarded_buffer && other) noexcept {
        std::swap(mapping_, other.mapping_);
        std::swap(mapping_bytes_, other.mapping_bytes_);
        std::swap(data_, other.data_);
        std::swap(canary_begin_, other.canary_begin_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~guarded_buffer() { release(); }

    uint8_t * data() { return data_; }
    const uint8_t * data() const { return data_; }
    size_t size() const { return size_; }

    template <typename T>
    T * as() {
        return reinterpret_cast<T *>(data_);
    }
    template <typename T>
    const T * as() const {
        return reinterpret_cast<const T *>(data_);
    }

    bool canary_intact() const {
        for (const uint8_t * byte = canary_begin_; byte != data_; ++byte) {
            if (*byte != k_canary) {
                return false;
            }
        }
        return true;
    }

    static constexpr uint8_t k_poison = 0xff;

  private:
    static constexpr uint8_t k_canary = 0xa5;
    static constexpr size_t k_canary_bytes = 64;  // one vector store that starts too early

    static size_t page_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

    void map(size_t bytes, int protection) {
        void * address = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (address == MAP_FAILED) {
            throw std::bad_alloc();
        }
        mapping_ = static_cast<uint8_t *>(address);
        mapping_bytes_ = bytes;
    }

    void release() {
        if (mapping_ != nullptr) {
            munmap(mapping_, mapping_bytes_);
            mapping_ = nullptr;
        }
    }

    uint8_t * mapping_ = nullptr;
    size_t mapping_bytes_ = 0;
    uint8_t * canary_begin_ = nullptr;
    uint8_t * data_ = nullptr;
    size_t size_ = 0;
};

}  // namespace tmx::test
