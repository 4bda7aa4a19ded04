#include "failing_memory.h"

#include <cstdlib>
#include <limits>
#include <new>

namespace tmx::test {
namespace {

constexpr int64_t k_all_good = std::numeric_limits<int64_t>::max();
thread_local int64_t n_left = k_all_good;
thread_local bool refused = false;

void * allocate(std::size_t size, std::size_t alignment) noexcept {
    if (n_left != k_all_good && n_left-- <= 0) {
        n_left = 0;
        refused = true;
        return nullptr;
    }
    return alignment == 0 ? std::malloc(size + (size == 0))
                          : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void * allocate_or_throw(std::size_t size, std::size_t alignment) {
    void * memory = allocate(size, alignment);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}

}  // namespace

failing_memory::failing_memory(int64_t n_good) : n_good_(n_good) {
    refused = false;
    n_left = n_good;
}

failing_memory::~failing_memory() {
    n_left = k_all_good;
}

bool failing_memory::failed() const {
    return refused;
}

int64_t failing_memory::used() const {
    return n_good_ - n_left;
}

}  // namespace tmx::test

void * operator new(std::size_t size) {
    return tmx::test::allocate_or_throw(size, 0);
}
void * operator new[](std::size_t size) {
    return tmx::test::allocate_or_throw(size, 0);
}
void * operator new(std::size_t size, const std::nothrow_t &) noexcept {
    return tmx::test::allocate(size, 0);
}
void * operator new[](std::size_t size, const std::nothrow_t &) noexcept {
    return tmx::test::allocate(size, 0);
}
void * operator new(std::size_t size, std::align_val_t alignment) {
    return tmx::test::allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void * operator new[](std::size_t size, std::align_val_t alignment) {
    return tmx::test::allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
void operator delete(void * memory) noexcept {
    std::free(memory);
}
void operator delete[](void * memory) noexcept {
    std::free(memory);
}
void operator delete(void * memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete[](void * memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete(void * memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete[](void * memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void * memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete[](void * memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
