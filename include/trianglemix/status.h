// trianglemix/status.h -- how every fallible call of this library reports. Nothing here prints, throws or aborts.
#pragma once

#include <cstdarg>
#include <cstdint>
#include <cstdio>

namespace tmx {

enum class status_code : uint8_t {
    ok = 0,
    invalid_argument,  // the caller broke a REQUIRES; the message names the field and its values
    unsupported,       // valid, but no code here computes it; run dense attention instead
    out_of_memory,     // scratch could not be allocated; outputs are unchanged
    device_error,      // a device call failed; text from the driver
};

// Result of a call. Copyable, owns its text (no allocation, so it can be built while memory is short).
// THREADS  A plain value.
class [[nodiscard]] status {
  public:
    status() noexcept = default;

    [[gnu::format(printf, 2, 3)]] static status error(status_code code, const char * format, ...) noexcept {
        status result;
        result.code_ = code;
        va_list args;
        va_start(args, format);
        std::vsnprintf(result.message_, sizeof(result.message_), format, args);
        va_end(args);
        return result;
    }

    bool ok() const noexcept { return code_ == status_code::ok; }
    status_code code() const noexcept { return code_; }
    const char * message() const noexcept { return message_; }  // empty when ok; never null

  private:
    status_code code_ = status_code::ok;
    char message_[256] = {};
};

}  // namespace tmx
