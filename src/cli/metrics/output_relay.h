// cli/metrics/output_relay.h -- what another process writes, passed on as it is, and looked at line by line.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <thread>

namespace tmx {

// Passes on to the descriptor `to` whatever is written into its other end. A thread of its own does, between start()
// and the object's end.
class output_relay {
  public:
    // `on_line` is called with each line, without its end, from that thread. ERRORS failure: no pipe can be made.
    output_relay(int to, std::function<void(std::string_view)> on_line);
    ~output_relay();  // passes on what was written until now; whoever still has the other end may write into nothing
    output_relay(const output_relay &) = delete;
    output_relay & operator=(const output_relay &) = delete;

    // For the process that writes: the descriptor to make its output of. Closed here by start(), and there by exec.
    int other_end() const { return other_end_; }
    // REQUIRES the caller to block SIGPIPE meanwhile: the thread takes over what is blocked, and may write where nobody
    // reads.
    void start();

  private:
    void run();
    void pass_on(std::string_view text);

    int to_;
    std::function<void(std::string_view)> on_line_;
    int from_ = -1;
    int other_end_ = -1;
    int stop_ = -1;  // an event
    std::string line_;
    std::thread thread_;
};

}  // namespace tmx
