// cli/metrics/served_metrics.h -- all that `serve --metrics` adds to a server: a place for its processes' statistics,
// a look at its log, and the page that shows both.
#pragma once

#include <string>

#include "cli/metrics/listen_address.h"
#include "cli/metrics/metrics_server.h"
#include "cli/metrics/output_relay.h"
#include "cli/metrics/prompt_times.h"
#include "cli/temporary_file.h"

namespace tmx {

class served_metrics {
  public:
    explicit served_metrics(const listen_address & at);  // ERRORS failure: the address cannot be listened on

    // For the server's environment: TRIANGLEMIX_STATS_SOCKET.
    std::string socket_setting() const { return sockets_.path() + "/%p.sock"; }
    const std::string & socket_folder() const { return sockets_.path(); }
    // What the server's stderr is to be: its log goes there, and from there to ours.
    int server_stderr() const { return relay_.other_end(); }
    // Once the server is started, since threads do not survive a fork.
    void start();
    const listen_address & at() const { return server_.at(); }

  private:
    temporary_folder sockets_{"trianglemix-metrics"};
    prompt_times times_;
    output_relay relay_;
    metrics_server server_;
};

}  // namespace tmx
