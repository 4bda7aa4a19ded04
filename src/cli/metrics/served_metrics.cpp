#include "cli/metrics/served_metrics.h"

#include <pthread.h>
#include <sys/un.h>
#include <unistd.h>

#include <csignal>
#include <string_view>

#include "cli/metrics/metrics_text.h"
#include "cli/metrics/statistics_reader.h"
#include "runtime/failure.h"

namespace tmx {

served_metrics::served_metrics(const listen_address & at)
    : relay_(STDERR_FILENO,
             [this](std::string_view line) {
                 if (const std::optional<prompt_time> prompt = prompt_time_in(line)) {
                     times_.count(*prompt);
                 }
             }),
      server_(at, [this] { return metrics_text(times_.read(), read_all_statistics(sockets_.path())); }) {
    // The backend would only log it, among many other lines.
    if (const std::string longest = sockets_.path() + "/4194304.sock";
        longest.size() >= sizeof(sockaddr_un::sun_path)) {
        throw failure("--metrics: the path " + longest + " is too long for a socket; set TMPDIR to a shorter one");
    }
}

void served_metrics::start() {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the thread that waits for the server
    relay_.start();
    server_.start();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace tmx
