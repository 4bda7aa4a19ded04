#include "eval/tasks/example_random.h"

#include <numeric>
#include <utility>

namespace tmx {
namespace {

// FNV-1a, 64 bits.
void mix_text(uint64_t & hash, std::string_view text) {
    for (const char c : text) {
        hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3ULL;
    }
    hash = (hash ^ 0xff) * 0x100000001b3ULL;  // so that "a", "bc" and "ab", "c" differ
}

void mix_number(uint64_t & hash, uint64_t number) {
    for (int shift = 0; shift < 64; shift += 8) {
        hash = (hash ^ ((number >> shift) & 0xff)) * 0x100000001b3ULL;
    }
}

}  // namespace

random_source example_random(const example_request & request, std::string_view task, std::string_view purpose) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    mix_text(hash, task);
    mix_text(hash, purpose);
    mix_number(hash, request.seed);
    mix_number(hash, static_cast<uint64_t>(request.budget));
    mix_number(hash, static_cast<uint64_t>(request.index));
    return random_source(hash);
}

random_source order_random(const example_request & request, std::string_view task, std::string_view purpose) {
    if (!request.frozen_order) {
        return example_random(request, task, purpose);
    }
    example_request same = request;
    same.index = 0;
    return example_random(same, task, purpose);
}

std::vector<size_t> shuffled_numbers(random_source & random, size_t n) {
    std::vector<size_t> numbers(n);
    std::iota(numbers.begin(), numbers.end(), size_t{0});
    for (size_t i = n; i > 1; --i) {
        std::swap(numbers[i - 1], numbers[random.below(i)]);
    }
    return numbers;
}

std::string random_uuid(random_source & random) {
    constexpr char k_digits[] = "0123456789abcdef";
    std::string uuid = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx";
    for (char & c : uuid) {
        if (c == 'x') {
            c = k_digits[random.below(16)];
        } else if (c == 'y') {
            c = k_digits[8 + random.below(4)];
        }
    }
    return uuid;
}

std::string random_letters(random_source & random, int64_t n, char first) {
    std::string letters;
    for (int64_t i = 0; i < n; ++i) {
        letters += static_cast<char>(first + static_cast<char>(random.below(26)));
    }
    return letters;
}

}  // namespace tmx
