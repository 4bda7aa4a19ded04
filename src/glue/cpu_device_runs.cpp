// Apart, so that a test's module can link another answer: a CPU without a kernel is hard to come by.
#include "glue/accel_device.h"
#include "trianglemix/attention.h"

namespace tmx {

bool cpu_device_runs() {
    return !cpu_kernels().empty();
}

}  // namespace tmx
