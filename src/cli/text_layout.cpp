#include "cli/text_layout.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string_view>

namespace tmx {
namespace {

bool continues_character(char c) {
    return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// `text` by words into lines of at most `limit` columns; every line but the first behind a margin of `indent` blanks,
// and the first thought to be behind one, too. A longer word has a line of its own, or several if it is a path.
std::string fill(const std::string & text, size_t limit, size_t indent) {
    const std::string margin(indent, ' ');
    std::string result;
    size_t column = indent;
    bool line_start = true;
    for (size_t at = 0; at < text.size();) {
        if (text[at] == '\n') {
            result += "\n" + margin;
            column = indent;
            line_start = true;
            ++at;
            continue;
        }
        if (text[at] == ' ') {
            ++at;
            continue;
        }
        size_t end = std::min(text.find_first_of(" \n", at), text.size());
        if (indent < limit && columns(text.substr(at, end - at)) > limit - indent) {
            // A path too long for a line of its own breaks behind its last folder that fits.
            const size_t slash = text.rfind('/', at + limit - indent - 1);
            end = slash != std::string::npos && slash > at && slash + 1 < end ? slash + 1 : end;
        }
        const std::string word = text.substr(at, end - at);
        const size_t size = columns(word);
        if (!line_start && column + 1 + size > limit) {
            result += "\n" + margin;
            column = indent;
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

std::vector<std::string> lines_of(const std::string & text) {
    std::vector<std::string> lines(1);
    for (const char c : text) {
        if (c == '\n') {
            lines.emplace_back();
        } else {
            lines.back() += c;
        }
    }
    return lines;
}

size_t longest_word(const std::string & text) {
    size_t longest = 0;
    for (const std::string & line : lines_of(fill(text, 0, 0))) {
        longest = std::max(longest, columns(line));
    }
    return longest;
}

// Stands for a blank at which a cell must not break.
constexpr char k_joined = '\x01';

// Figures stay whole ("43.1 s"); lists break behind their commas, ranges behind their dots.
std::string join_figures(const std::string & cell) {
    std::string joined;
    for (size_t i = 0; i < cell.size(); ++i) {
        joined += cell[i] == ' ' && (i == 0 || cell[i - 1] != ',') ? k_joined : cell[i];
        if (joined.ends_with("..")) {
            joined += ' ';
        }
    }
    return joined;
}

// Where the text behind a gap of two blanks or more begins: "  --file FILE    the document" -> 16. 0: no such gap.
size_t column_behind_gap(const std::string & line) {
    const size_t begin = line.find_first_not_of(' ');
    if (begin == std::string::npos) {
        return 0;
    }
    const size_t gap = line.find("  ", begin);
    const size_t behind = gap == std::string::npos ? gap : line.find_first_not_of(' ', gap);
    return behind == std::string::npos ? 0 : behind;
}

std::string fit_help_line(const std::string & line, size_t width) {
    if (columns(line) <= width) {
        return line;
    }
    const size_t begin = line.find_first_not_of(' ');
    const size_t behind = column_behind_gap(line);
    constexpr size_t k_deeper = 4;
    if (behind == 0) {
        // A description alone on its line keeps its column; other text hangs a little.
        const size_t indent = begin >= width / 2 ? width / 2 : begin > 2 * k_deeper ? begin : begin + k_deeper;
        const size_t first = std::min(begin, indent);
        return std::string(first, ' ') + fill(line.substr(begin), width, indent);
    }
    if (behind <= width / 2) {
        return line.substr(0, behind) + fill(line.substr(behind), width, behind);
    }
    const std::string head = line.substr(0, line.find("  ", begin));
    const std::string margin(begin + k_deeper, ' ');
    return std::string(begin, ' ') + fill(head.substr(begin), width, begin + k_deeper) + "\n" + margin +
           fill(line.substr(behind), width, margin.size());
}

}  // namespace

size_t columns(const std::string & text) {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return !continues_character(c); }));
}

std::string cut(const std::string & text, size_t columns) {
    size_t at = 0;
    for (size_t n = 0; at < text.size() && n < columns; ++n) {
        do {
            ++at;
        } while (at < text.size() && continues_character(text[at]));
    }
    return text.substr(0, at);
}

std::string wrap(const std::string & text, int width, int indent) {
    constexpr int k_least = 20;
    return fill(text, static_cast<size_t>(std::max(width, indent + k_least)), static_cast<size_t>(indent));
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

std::string show_bytes(size_t n) {
    const auto bytes = static_cast<double>(n);
    if (bytes < 1e3) {
        return fmt::format("{} bytes", n);
    }
    return bytes < 1e6 ? fmt::format("{:.1f} KB", bytes / 1e3) : fmt::format("{:.1f} MB", bytes / 1e6);
}

std::string show_file(const std::string & path) {
    return path.substr(path.find_last_of('/') + 1);
}

std::string fit_help(const std::string & text, int width) {
    // Longer lines than this one were broken because the page was full, so the next line goes on.
    constexpr size_t k_full_line = 90;
    std::vector<std::string> paragraphs;
    bool open = false;
    for (const std::string & line : lines_of(text)) {
        const bool prose = !line.empty() && line.front() != ' ' && column_behind_gap(line) == 0;
        if (open && prose) {
            paragraphs.back() += " " + line;
        } else {
            paragraphs.push_back(line);
        }
        open = prose && columns(line) > k_full_line;
    }
    std::string result;
    for (const std::string & paragraph : paragraphs) {
        const bool prose = !paragraph.empty() && paragraph.front() != ' ' && column_behind_gap(paragraph) == 0;
        result += result.empty() && &paragraph == &paragraphs.front() ? "" : "\n";
        result += prose ? fill(paragraph, static_cast<size_t>(width), 0)
                        : fit_help_line(paragraph, static_cast<size_t>(width));
    }
    return result;
}

std::string word_stream::take_word() {
    std::string shown;
    if (!word_.empty()) {
        const size_t size = columns(word_);
        if (column_ > 0 && column_ + blanks_.size() + size > width_) {
            shown += '\n';
            column_ = 0;
        } else {
            shown = blanks_;
            column_ += blanks_.size();
        }
        shown += word_;
        column_ += size;
        blanks_.clear();
        word_.clear();
    }
    return shown;
}

std::string word_stream::add(const std::string & piece) {
    std::string shown;
    for (const char c : piece) {
        if (c == ' ') {
            shown += take_word();
            blanks_ += c;
        } else if (c == '\n') {
            shown += take_word() + blanks_ + "\n";
            blanks_.clear();
            column_ = 0;
        } else {
            word_ += c;
        }
    }
    return shown;
}

std::string word_stream::end() {
    std::string shown = take_word() + blanks_;
    blanks_.clear();
    return shown;
}

text_table::text_table(std::vector<std::string> header) {
    rows_.push_back(std::move(header));
}

void text_table::add(std::vector<std::string> row) {
    rows_.push_back(std::move(row));
}

// The cell as it may be broken: headings and the first column at blanks, others between figures.
std::string text_table::breakable(size_t row, size_t column) const {
    const std::string & cell = rows_[row][column];
    return row == 0 || column == 0 ? cell : join_figures(cell);
}

std::vector<size_t> text_table::narrowest() const {
    std::vector<size_t> width(rows_.front().size(), 0);
    for (size_t row = 0; row < rows_.size(); ++row) {
        for (size_t i = 0; i < width.size(); ++i) {
            width[i] = std::max(width[i], longest_word(breakable(row, i)));
        }
    }
    return width;
}

std::string text_table::print_columns(const std::vector<size_t> & width, size_t gap) const {
    std::string text;
    for (size_t row = 0; row < rows_.size(); ++row) {
        std::vector<std::vector<std::string>> cells;
        size_t height = 1;
        for (size_t i = 0; i < width.size(); ++i) {
            const bool whole = columns(rows_[row][i]) <= width[i];
            cells.push_back(whole ? std::vector<std::string>{rows_[row][i]}
                                  : lines_of(fill(breakable(row, i), width[i], 0)));
            height = std::max(height, cells.back().size());
        }
        for (size_t y = 0; y < height; ++y) {
            std::string line;
            for (size_t i = 0; i < cells.size(); ++i) {
                const std::string cell = y < cells[i].size() ? cells[i][y] : "";
                const std::string blanks(width[i] - columns(cell), ' ');
                if (i > 0) {
                    line.append(gap, ' ');
                }
                line += i == 0 ? cell + blanks : blanks + cell;
            }
            std::replace(line.begin(), line.end(), k_joined, ' ');
            line.erase(line.find_last_not_of(' ') + 1);
            text += line + "\n";
        }
    }
    return text;
}

std::string text_table::print_list(size_t max_width) const {
    constexpr size_t k_indent = 4;
    const std::vector<std::string> & header = rows_.front();
    std::string text;
    for (size_t row = 1; row < rows_.size(); ++row) {
        const std::string title = header[0].empty() ? rows_[row][0] : header[0] + " " + rows_[row][0];
        text += fill(title, max_width, 0) + "\n";
        for (size_t i = 1; i < header.size(); ++i) {
            text += "  ";
            text += fill(header[i] + ": " + rows_[row][i], max_width, k_indent) + "\n";
        }
    }
    return text;
}

std::string text_table::print(int max_width) const {
    std::vector<size_t> width(rows_.front().size(), 0);
    for (const auto & row : rows_) {
        for (size_t i = 0; i < row.size(); ++i) {
            width[i] = std::max(width[i], columns(row[i]));
        }
    }
    const auto limit = static_cast<size_t>(std::max(max_width, 1));
    const auto total = [&](const std::vector<size_t> & each, size_t gap) {
        return std::accumulate(each.begin(), each.end(), gap * (each.size() - 1));
    };
    const struct {
        std::vector<size_t> least;
        size_t gap;
    } attempts[] = {{width, 3}, {width, 2}, {narrowest(), 2}, {narrowest(), 1}};
    for (const auto & [least, gap] : attempts) {
        if (total(least, gap) > limit) {
            continue;
        }
        std::vector<size_t> fitting = width;
        while (total(fitting, gap) > limit) {
            // The widest of those that can still give way.
            size_t widest = 0;
            for (size_t i = 0; i < fitting.size(); ++i) {
                const bool gives = fitting[i] > least[i];
                if (gives && (fitting[widest] <= least[widest] || fitting[i] > fitting[widest])) {
                    widest = i;
                }
            }
            --fitting[widest];
        }
        return print_columns(fitting, gap);
    }
    return print_list(limit);
}

}  // namespace tmx
