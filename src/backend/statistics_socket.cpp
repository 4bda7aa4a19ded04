#include "backend/statistics_socket.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <thread>
#include <utility>

namespace tmx {
namespace {

constexpr timeval k_longest_send = {.tv_sec = 2, .tv_usec = 0};  // to one that connects and does not read

struct open_socket {
    std::string path;
    int listening = -1;
    pid_t owner = 0;
    std::function<std::string()> text;
    std::thread thread;
};
open_socket * g_open = nullptr;  // never freed: a process that was forked off must not join the thread it has not

void send_text(int connection, const std::string & text) {
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &k_longest_send, sizeof(k_longest_send));
    for (size_t sent = 0; sent < text.size();) {
        const ssize_t n = send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (n <= 0 && errno != EINTR) {
            return;
        }
        sent += n > 0 ? static_cast<size_t>(n) : 0;
    }
}

void answer_until_closed(const open_socket & from) {
    for (;;) {
        const int connection = accept4(from.listening, nullptr, nullptr, SOCK_CLOEXEC);
        if (connection < 0) {
            if (errno == EINTR || errno == ECONNABORTED) {
                continue;
            }
            return;  // closed, or out of file descriptors: then there are no statistics, but a host that runs
        }
        try {
            send_text(connection, from.text());
        } catch (const std::exception &) {
            // Without memory the connection ends without a text.
        }
        close(connection);
    }
}

// The thread uses the library's code, so it ends before that is unloaded.
void close_at_exit() {
    if (g_open == nullptr || g_open->owner != getpid()) {
        return;
    }
    shutdown(g_open->listening, SHUT_RDWR);  // accept4() returns
    g_open->thread.join();
    close(g_open->listening);
    unlink(g_open->path.c_str());
}

// The host's signals are for the host's threads.
std::thread start_thread(const open_socket & from) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread thread([&from] { answer_until_closed(from); });
    pthread_setname_np(thread.native_handle(), "tmx-statistics");
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return thread;
}

}  // namespace

std::string open_statistics_socket(const std::string & path, std::function<std::string()> text) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) {
        return "a socket's path has " + std::to_string(sizeof(address.sun_path) - 1) + " bytes at most, this one " +
               std::to_string(path.size());
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    const int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening < 0) {
        return std::strerror(errno);
    }
    fchmod(listening, S_IRUSR | S_IWUSR);  // before it is there for others to see
    if (bind(listening, reinterpret_cast<const sockaddr *>(&address), sizeof(address)) != 0 ||
        listen(listening, 8) != 0) {
        std::string why = errno == EADDRINUSE ? "something is there already; remove it, or use %p for the process id"
                                              : std::strerror(errno);
        close(listening);
        return why;
    }
    g_open =
        new open_socket{.path = path, .listening = listening, .owner = getpid(), .text = std::move(text), .thread = {}};
    g_open->thread = start_thread(*g_open);
    std::atexit(close_at_exit);
    return "";
}

}  // namespace tmx
