#include "backend/status_file.h"

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

namespace tmx {
namespace {

struct close_file {
    void operator()(std::FILE * file) const { std::fclose(file); }
};
using file_handle = std::unique_ptr<std::FILE, close_file>;

std::string line_of(const registration_status & status) {
    nlohmann::ordered_json line = {
        {"registered", status.refusal.empty()}, {"version", status.version}, {"devices", status.devices}};
    if (!status.gpus.empty()) {
        line["gpu"] = nlohmann::ordered_json::array();
        for (const registration_status::gpu & gpu : status.gpus) {
            line["gpu"].push_back({{"name", gpu.name}, {"wraps", gpu.wraps}, {"kernel", gpu.kernel}});
        }
    }
    if (status.refusal.empty()) {
        line["kernel"] = status.kernel;
    } else {
        line["reason"] = status.refusal;
    }
    return line.dump(-1, ' ', true, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace

bool append_status(const std::string & path, const registration_status & status) {
    if (path.empty()) {
        return true;
    }
    const std::string text = line_of(status);
    const file_handle file(std::fopen(path.c_str(), "ab"));
    return file != nullptr && std::fwrite(text.data(), 1, text.size(), file.get()) == text.size();
}

}  // namespace tmx
