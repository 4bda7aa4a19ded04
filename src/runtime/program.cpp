#include "runtime/program.h"

#include <chrono>
#include <filesystem>

namespace tmx {

double seconds_now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string library_beside(const std::string & name) {
    std::error_code error;
    const auto executable = std::filesystem::read_symlink("/proc/self/exe", error);
    return (executable.parent_path() / name).string();
}

}  // namespace tmx
