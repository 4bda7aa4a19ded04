// cli/usage_error.h -- options that contradict each other, whatever the files hold. The option parser finds most wrong
// usage itself; the exit code is the same.
#pragma once

#include <stdexcept>

namespace tmx {

class usage_error : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

}  // namespace tmx
