// cli/commands/profile_screen.h -- a profile's progress on stderr.
#pragma once

#include <unistd.h>

#include <string>

#include "measure/progress.h"

namespace tmx {

// One line, redrawn on a terminal; finished items stay. Elsewhere finished items only.
class profile_screen {
  public:
    void show(const run_progress & p);
    ~profile_screen();

  private:
    void stay(const std::string & line);

    bool live_ = isatty(STDERR_FILENO) == 1;
    double last_ = 0;
};

}  // namespace tmx
