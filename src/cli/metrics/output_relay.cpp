#include "cli/metrics/output_relay.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "runtime/failure.h"

namespace tmx {
namespace {

constexpr size_t k_longest_line = 4096;  // of a longer one the beginning is looked at

}  // namespace

output_relay::output_relay(int to, std::function<void(std::string_view)> on_line)
    : to_(to), on_line_(std::move(on_line)) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        throw failure("cannot make a pipe for the server's output");
    }
    from_ = ends[0];
    other_end_ = ends[1];
    stop_ = eventfd(0, EFD_CLOEXEC);
}

output_relay::~output_relay() {
    if (thread_.joinable()) {
        const uint64_t one = 1;
        while (write(stop_, &one, sizeof(one)) < 0 && errno == EINTR) {
        }
        thread_.join();
    }
    for (const int descriptor : {from_, other_end_, stop_}) {
        if (descriptor >= 0) {
            close(descriptor);
        }
    }
}

void output_relay::start() {
    close(std::exchange(other_end_, -1));
    thread_ = std::thread([this] { run(); });
}

void output_relay::run() {
    char buffer[16384];
    for (;;) {
        pollfd waiting[2] = {{from_, POLLIN, 0}, {stop_, POLLIN, 0}};
        if (poll(waiting, 2, -1) < 0) {
            continue;
        }
        if (waiting[0].revents != 0) {  // first, so that what is there when it is to stop is passed on
            const ssize_t n = read(from_, buffer, sizeof(buffer));
            if (n == 0) {
                return;
            }
            pass_on({buffer, n > 0 ? static_cast<size_t>(n) : 0});
        } else if (waiting[1].revents != 0) {
            return;
        }
    }
}

void output_relay::pass_on(std::string_view text) {
    for (size_t written = 0; written < text.size();) {
        const ssize_t n = write(to_, text.data() + written, text.size() - written);
        if (n < 0 && errno != EINTR) {
            break;  // nobody reads any more; the server goes on all the same
        }
        written += n > 0 ? static_cast<size_t>(n) : 0;
    }
    while (!text.empty()) {
        const size_t end = text.find('\n');
        const std::string_view piece = text.substr(0, end);
        line_.append(piece.substr(0, k_longest_line - std::min(line_.size(), k_longest_line)));
        if (end == std::string_view::npos) {
            return;
        }
        on_line_(line_);
        line_.clear();
        text.remove_prefix(end + 1);
    }
}

}  // namespace tmx
