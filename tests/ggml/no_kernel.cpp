// The module as on a CPU that no kernel runs on.
#include "glue/accel_device.h"

namespace tmx {

bool cpu_device_runs() {
    return false;
}

}  // namespace tmx
