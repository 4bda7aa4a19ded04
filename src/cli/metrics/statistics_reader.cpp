#include "cli/metrics/statistics_reader.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace tmx {
namespace {

constexpr timeval k_longest_wait = {.tv_sec = 2, .tv_usec = 0};

class connection {
  public:
    explicit connection(const std::string & path) : descriptor_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path.size() >= sizeof(address.sun_path)) {
            return;
        }
        std::memcpy(address.sun_path, path.data(), path.size());
        setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &k_longest_wait, sizeof(k_longest_wait));
        setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &k_longest_wait, sizeof(k_longest_wait));
        connected_ = connect(descriptor_, reinterpret_cast<const sockaddr *>(&address), sizeof(address)) == 0;
    }
    ~connection() { close(descriptor_); }
    connection(const connection &) = delete;
    connection & operator=(const connection &) = delete;

    std::optional<std::string> read_all() const {
        std::string text;
        char buffer[16384];
        while (connected_) {
            const ssize_t n = read(descriptor_, buffer, sizeof(buffer));
            if (n == 0) {
                return text;
            }
            if (n < 0 && errno != EINTR) {
                break;
            }
            text.append(buffer, n > 0 ? static_cast<size_t>(n) : 0);
        }
        return std::nullopt;
    }

  private:
    int descriptor_;
    bool connected_ = false;
};

}  // namespace

std::optional<nlohmann::json> read_statistics(const std::string & socket_path) {
    const std::optional<std::string> text = connection(socket_path).read_all();
    nlohmann::json parsed = text ? nlohmann::json::parse(*text, nullptr, false) : nlohmann::json();
    return parsed.is_object() ? std::optional(std::move(parsed)) : std::nullopt;
}

std::vector<process_counts> read_all_statistics(const std::string & folder) {
    std::vector<process_counts> all;
    std::error_code error;
    for (const auto & entry : std::filesystem::directory_iterator(folder, error)) {
        if (entry.path().extension() == ".sock") {
            if (std::optional<nlohmann::json> statistics = read_statistics(entry.path().string())) {
                all.push_back({entry.path().stem().string(), std::move(*statistics)});
            }
        }
    }
    std::sort(all.begin(), all.end(), [](const auto & a, const auto & b) { return a.pid < b.pid; });
    return all;
}

}  // namespace tmx
