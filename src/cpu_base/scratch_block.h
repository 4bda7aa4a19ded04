// The memory behind a context of the CPU kernels: one aligned block, grown on demand, kept between calls, and cut into
// aligned pieces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace tmx::cpu_base {

constexpr size_t k_alignment = 64;  // the widest vector, and a cache line: threads share none

constexpr size_t aligned_up(size_t bytes) {
    return (bytes + k_alignment - 1) / k_alignment * k_alignment;
}

// Hands out aligned pieces of a block; with a null base it only adds up their sizes.
class carver {
  public:
    explicit carver(std::byte * base) : base_(base) {}

    template <class T>
    T * take(int64_t count, int64_t bytes_each = sizeof(T)) {
        std::byte * piece = base_ == nullptr ? nullptr : base_ + used_;
        used_ += aligned_up(static_cast<size_t>(count * bytes_each));
        return reinterpret_cast<T *>(piece);
    }
    size_t used() const { return used_; }

  private:
    std::byte * base_;
    size_t used_ = 0;
};

class scratch_block {
  public:
    // What it held is lost where it grows. Throws std::bad_alloc; then it is as it was.
    void reserve(size_t bytes) {
        if (bytes <= bytes_) {
            return;
        }
        const size_t whole = aligned_up(bytes);  // aligned_alloc takes nothing else
        void * fresh = std::aligned_alloc(k_alignment, whole);
        if (fresh == nullptr) {
            throw std::bad_alloc();
        }
        memory_.reset(fresh);
        bytes_ = whole;
    }
    std::byte * get() const { return static_cast<std::byte *>(memory_.get()); }

  private:
    struct free_memory {
        void operator()(void * p) const noexcept { std::free(p); }
    };
    std::unique_ptr<void, free_memory> memory_;
    size_t bytes_ = 0;
};

}  // namespace tmx::cpu_base
