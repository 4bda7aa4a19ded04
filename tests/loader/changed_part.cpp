// A part that is nothing but its probe, see CMakeLists.txt.
#include <string>

#include "glue/layout_probe.h"

extern "C" __attribute__((visibility("default"))) const char * trianglemix_layout_difference() {
    static const std::string difference = tmx::layout_difference();
    return difference.c_str();
}
