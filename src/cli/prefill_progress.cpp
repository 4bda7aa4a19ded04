#include "cli/prefill_progress.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/terminal.h"
#include "runtime/program.h"

namespace tmx {

double predict_seconds(const std::vector<double> & end_token, const std::vector<double> & seconds, double to) {
    if (end_token.empty() || end_token.size() != seconds.size()) {
        return -1;
    }
    // Least squares of each chunk's seconds per token over its middle: cost(x) = a + b x, b >= 0.
    double n = 0, sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
    double begin = 0, start = 0;
    for (size_t i = 0; i < end_token.size(); ++i) {
        const double x = (begin + end_token[i]) / 2;
        const double y = (seconds[i] - start) / std::max(end_token[i] - begin, 1.0);
        n += 1;
        sum_x += x;
        sum_y += y;
        sum_xx += x * x;
        sum_xy += x * y;
        begin = end_token[i];
        start = seconds[i];
    }
    const double spread = n * sum_xx - sum_x * sum_x;
    const double b = spread > 0 ? std::max((n * sum_xy - sum_x * sum_y) / spread, 0.0) : 0.0;
    const double a = (sum_y - b * sum_x) / n;
    const double left = a * (to - begin) + b * (to * to - begin * begin) / 2;
    return std::max(left, 0.0);
}

prefill_progress::prefill_progress(std::string label, int64_t n_tokens)
    : label_(std::move(label)), n_total_(n_tokens), live_(isatty(STDERR_FILENO) == 1), start_(seconds_now()) {
    if (live_) {
        ticker_ = std::thread([this] {
            std::unique_lock lock(mutex_);
            while (!finished_) {
                draw();
                wake_.wait_for(lock, std::chrono::milliseconds(250));
            }
        });
    }
}

prefill_progress::~prefill_progress() {
    {
        const std::lock_guard lock(mutex_);
        finished_ = true;
    }
    wake_.notify_all();
    if (ticker_.joinable()) {
        ticker_.join();
    }
    if (live_) {
        clear_live();
    }
}

void prefill_progress::done(int64_t n_tokens) {
    const std::lock_guard lock(mutex_);
    chunks_.push_back({static_cast<double>(n_tokens), seconds_now() - start_});
    draw();
}

double prefill_progress::seconds_left(double now) const {
    std::vector<double> end_token;
    std::vector<double> seconds;
    for (const chunk & c : chunks_) {
        end_token.push_back(c.end_token);
        seconds.push_back(c.seconds);
    }
    const double predicted = predict_seconds(end_token, seconds, static_cast<double>(n_total_));
    return predicted < 0 ? -1 : std::max(predicted - (now - chunks_.back().seconds), 0.0);
}

std::string prefill_progress::line(double now) const {
    const double done_tokens = chunks_.empty() ? 0 : chunks_.back().end_token;
    std::string text = fmt::format("{}: {:.0f}/{} tokens", label_, done_tokens, n_total_);
    if (!chunks_.empty()) {
        text += fmt::format(", {:.0f} tok/s", done_tokens / chunks_.back().seconds);
    }
    const double left = seconds_left(now);
    if (done_tokens < static_cast<double>(n_total_)) {
        text += left < 0 ? fmt::format(", {:.0f} s so far", now) : fmt::format(", {:.0f} s left", std::ceil(left));
    } else {
        text += ", " + show_seconds(chunks_.back().seconds);
    }
    return text;
}

void prefill_progress::draw() {
    const double now = seconds_now() - start_;
    if (live_) {
        show_live(line(now));
        return;
    }
    // Sparse enough for a log file: one line in five seconds, and the last.
    constexpr double k_seconds_between_lines = 5;
    const bool complete = !chunks_.empty() && chunks_.back().end_token >= static_cast<double>(n_total_);
    if (complete || now - last_line_ >= k_seconds_between_lines) {
        last_line_ = now;
        fmt::print(stderr, "{}\n", line(now));
    }
}

}  // namespace tmx
