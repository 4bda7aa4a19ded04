// cli/metrics/metrics_server.h -- a page of metrics for whoever asks by HTTP.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "cli/metrics/listen_address.h"

namespace httplib {
class Server;
}

namespace tmx {

// GET /metrics is answered with what `page` gives, by threads of its own, between start() and the object's end. Any
// other path does not exist, and nothing is taken from a request.
class metrics_server {
  public:
    // Takes the address, so that one that is taken already is found before anything else starts. ERRORS failure.
    metrics_server(const listen_address & at, std::function<std::string()> page);
    ~metrics_server();
    metrics_server(const metrics_server &) = delete;
    metrics_server & operator=(const metrics_server &) = delete;

    void start();
    const listen_address & at() const { return at_; }  // with the port that was taken

  private:
    listen_address at_;
    std::unique_ptr<httplib::Server> server_;
    std::thread thread_;
};

}  // namespace tmx
