#include "cli/metrics/metrics_server.h"

#include <httplib.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "cli/metrics/metrics_text.h"
#include "runtime/failure.h"

namespace tmx {

metrics_server::metrics_server(const listen_address & at, std::function<std::string()> page)
    : at_(at), server_(std::make_unique<httplib::Server>()) {
    server_->new_task_queue = [] { return new httplib::ThreadPool(2); };  // a scraper or two
    server_->set_payload_max_length(0);
    server_->set_read_timeout(5);
    server_->set_write_timeout(5);
    // The library's own options would let a second program take the same port.
    server_->set_socket_options([](auto socket) {
        const int yes = 1;
        setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    server_->Get("/metrics", [page = std::move(page)](const httplib::Request &, httplib::Response & response) {
        response.set_content(page(), k_metrics_type);
    });
    errno = 0;
    if (at_.port == 0) {
        at_.port = server_->bind_to_any_port(at_.host);
    } else if (!server_->bind_to_port(at_.host, at_.port)) {
        at_.port = -1;
    }
    if (at_.port <= 0) {
        const int why = errno;
        throw failure("--metrics: cannot listen on " + at.text() + ": " +
                      (why != 0 ? std::strerror(why) : "no such address here"));
    }
}

metrics_server::~metrics_server() {
    if (thread_.joinable()) {
        server_->wait_until_ready();
        server_->stop();
        thread_.join();
    }
}

void metrics_server::start() {
    thread_ = std::thread([this] { server_->listen_after_bind(); });
}

}  // namespace tmx
