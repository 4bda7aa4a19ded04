// measure/hash.h -- SHA-256 (FIPS 180-4): a plan says by it which file it was measured on, and `sha256sum` checks it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace tmx {

class sha256 {
  public:
    sha256();
    void add(const void * bytes, size_t n);
    std::string hex();  // ends it; 64 digits

  private:
    std::array<uint32_t, 8> state_;
    std::array<uint8_t, 64> block_{};
    size_t in_block_ = 0;
    uint64_t n_bytes_ = 0;

    void compress(const uint8_t * block);
};

std::string sha256_of_text(const std::string & text);

// ERRORS failure: the file cannot be read.
std::string sha256_of_file(const std::string & path);

}  // namespace tmx
