// The file that TRIANGLEMIX_STATUS names: a parent process that started the host reads there whether this library
// serves it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace tmx {

struct registration_status {
    std::string refusal;  // "" if it serves
    std::string version;  // of this library
    size_t devices = 0;
    std::string kernel;  // of the CPU

    struct gpu {
        std::string name;
        std::string wraps;
        std::string kernel;
    };
    std::vector<gpu> gpus;
};

// Appends one JSON line to `path`; nothing if that is empty. False: it could not be written.
bool append_status(const std::string & path, const registration_status & status);

}  // namespace tmx
