// Which of Highway's targets this CPU can run.
#pragma once

#include <cstdint>

#include "hwy/targets.h"

namespace tmx::cpu_base {

// hwy::SupportedTargets(), asked once: a virtual machine may take long to answer.
inline int64_t highway_targets() {
    static const int64_t targets = hwy::SupportedTargets();
    return targets;
}

}  // namespace tmx::cpu_base
