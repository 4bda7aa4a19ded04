// cli/prefill_progress.h -- the progress line of a long prompt.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tmx {

// Shows how far a prefill is, its rate, and the time left, on stderr: one line redrawn in place on a terminal, and gone
// at the end; a line every few seconds elsewhere. The time left is predicted from the chunks seen, whose cost grows
// with their position.
class prefill_progress {
  public:
    prefill_progress(std::string label, int64_t n_tokens);
    ~prefill_progress();
    prefill_progress(const prefill_progress &) = delete;
    prefill_progress & operator=(const prefill_progress &) = delete;

    void done(int64_t n_tokens);  // tokens finished so far

  private:
    struct chunk {
        double end_token;
        double seconds;  // since the start
    };
    std::string label_;
    int64_t n_total_;
    bool live_;  // stderr is a terminal
    double start_;
    double last_line_ = 0;
    std::vector<chunk> chunks_;
    bool finished_ = false;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::thread ticker_;

    void draw();
    std::string line(double now) const;
    double seconds_left(double now) const;
};

// Seconds that tokens [from, to) will take, from the times at which earlier chunks ended: chunk i ended behind
// end_token[i] tokens at seconds[i]. A token's cost is taken to grow linearly with its position. < 0: not known yet.
double predict_seconds(const std::vector<double> & end_token, const std::vector<double> & seconds, double to);

}  // namespace tmx
