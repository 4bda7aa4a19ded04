// Adds the time that it lives to a sum.
#pragma once

#include <chrono>

namespace tmx {

class added_seconds {
  public:
    // `sum` may be null.
    explicit added_seconds(double * sum) : sum_(sum) {}
    ~added_seconds() {
        if (sum_ != nullptr) {
            *sum_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
        }
    }
    added_seconds(const added_seconds &) = delete;
    added_seconds & operator=(const added_seconds &) = delete;

  private:
    double * sum_;
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace tmx
