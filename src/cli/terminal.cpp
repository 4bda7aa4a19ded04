#include "cli/terminal.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "runtime/arm.h"

namespace tmx {

int terminal_width(int file_descriptor) {
    winsize size{};
    if (isatty(file_descriptor) == 1 && ioctl(file_descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return size.ws_col;
    }
    return 80;
}

namespace {

// Columns that UTF-8 text takes when every code point is one wide.
size_t columns(const std::string & text) {
    return static_cast<size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::string wrap(const std::string & text, int width, int indent) {
    const auto limit = static_cast<size_t>(std::max(width, indent + 20));
    const std::string margin(static_cast<size_t>(indent), ' ');
    std::string result;
    size_t column = static_cast<size_t>(indent);
    bool line_start = true;
    for (size_t at = 0; at < text.size();) {
        if (text[at] == '\n') {
            result += "\n" + margin;
            column = margin.size();
            line_start = true;
            ++at;
            continue;
        }
        if (text[at] == ' ') {
            ++at;
            continue;
        }
        const size_t end = std::min(text.find_first_of(" \n", at), text.size());
        const std::string word = text.substr(at, end - at);
        const size_t size = columns(word);
        if (!line_start && column + 1 + size > limit) {
            result += "\n" + margin;
            column = margin.size();
            line_start = true;
        }
        if (!line_start) {
            result += ' ';
            ++column;
        }
        result += word;
        column += size;
        line_start = false;
        at = end;
    }
    return result;
}

std::string show_seconds(double seconds) {
    if (seconds < 10) {
        return fmt::format("{:.2f} s", seconds);
    }
    if (seconds < 100) {
        return fmt::format("{:.1f} s", seconds);
    }
    const int64_t whole = std::llround(seconds);
    return fmt::format("{} min {} s", whole / 60, whole % 60);
}

std::string show_count(double n) {
    if (n < 1e4) {
        return fmt::format("{:.0f}", n);
    }
    if (n < 1e6) {
        return fmt::format("{:.1f} K", n / 1e3);
    }
    return n < 1e9 ? fmt::format("{:.1f} M", n / 1e6) : fmt::format("{:.2f} G", n / 1e9);
}

std::string show_file(const std::string & path) {
    return path.substr(path.find_last_of('/') + 1);
}

text_table::text_table(std::vector<std::string> header) {
    rows_.push_back(std::move(header));
}

void text_table::add(std::vector<std::string> row) {
    rows_.push_back(std::move(row));
}

std::string text_table::print(int shrink_to) const {
    std::vector<size_t> width(rows_.front().size(), 0);
    for (const auto & row : rows_) {
        for (size_t i = 0; i < row.size(); ++i) {
            width[i] = std::max(width[i], columns(row[i]));
        }
    }
    size_t total = 0;
    for (const size_t w : width) {
        total += w;
    }
    size_t gap = 3;
    while (gap > 1 && shrink_to > 0 && total + gap * (width.size() - 1) > static_cast<size_t>(shrink_to)) {
        --gap;
    }
    std::string text;
    for (const auto & row : rows_) {
        std::string line;
        for (size_t i = 0; i < row.size(); ++i) {
            const std::string fill(width[i] - columns(row[i]), ' ');
            line += i == 0 ? row[i] + fill : std::string(gap, ' ') + fill + row[i];
        }
        line.erase(line.find_last_not_of(' ') + 1);
        text += line + "\n";
    }
    return text;
}

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
                draw(false);
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
    draw(true);
}

void prefill_progress::done(int64_t n_tokens) {
    const std::lock_guard lock(mutex_);
    chunks_.push_back({static_cast<double>(n_tokens), seconds_now() - start_});
    draw(false);
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

void prefill_progress::draw(bool final_line) {
    const double now = seconds_now() - start_;
    if (live_) {
        std::string text = line(now);
        const auto width = static_cast<size_t>(std::max(terminal_width(STDERR_FILENO) - 1, 20));
        if (text.size() > width) {
            text.resize(width);
        }
        fmt::print(stderr, "\r\x1b[K{}{}", text, final_line ? "\n" : "");
        std::fflush(stderr);
        return;
    }
    // Sparse enough for a log file: one line in five seconds, and the last.
    constexpr double k_seconds_between_lines = 5;
    const bool complete = !chunks_.empty() && chunks_.back().end_token >= static_cast<double>(n_total_);
    if (!final_line && (complete || now - last_line_ >= k_seconds_between_lines)) {
        last_line_ = now;
        fmt::print(stderr, "{}\n", line(now));
    }
}

}  // namespace tmx
