#include "profile/svg.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace tmx {
namespace {

constexpr double k_width = 720;
constexpr double k_height = 360;
constexpr double k_left = 78;
constexpr double k_right = 18;
constexpr double k_top = 14;
constexpr double k_bottom = 46;

// Distinguishable in grey and by the colour-blind: Okabe and Ito's palette.
constexpr std::array<const char *, 6> k_colours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000"};

// One axis: values to pixels, and where its ticks are.
class axis {
  public:
    axis(double low, double high, bool log, double pixel_low, double pixel_high)
        : log_(log), pixel_low_(pixel_low), pixel_high_(pixel_high) {
        if (log_) {
            low_ = std::floor(std::log10(low));
            high_ = std::max(std::ceil(std::log10(high)), low_ + 1);
            const double step = std::max(1.0, std::ceil((high_ - low_) / 6));
            for (double decade = low_; decade <= high_ + 1e-9; decade += step) {
                ticks_.push_back(std::pow(10.0, decade));
            }
            return;
        }
        const double span = high > low ? high - low : 1;
        const double rough = span / 6;
        const double power = std::pow(10.0, std::floor(std::log10(rough)));
        const double ratio = rough / power;
        const double step = power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
        low_ = std::floor(low / step) * step;
        high_ = std::ceil((low + span) / step) * step;
        for (double tick = low_; tick <= high_ + step / 2; tick += step) {
            ticks_.push_back(std::abs(tick) < step / 1e6 ? 0 : tick);
        }
    }

    double pixel(double value) const {
        double place = value;
        if (log_) {
            place = value > 0 ? std::max(std::log10(value), low_) : low_;
        }
        return pixel_low_ + (place - low_) / (high_ - low_) * (pixel_high_ - pixel_low_);
    }
    const std::vector<double> & ticks() const { return ticks_; }

  private:
    bool log_;
    double pixel_low_, pixel_high_;
    double low_ = 0, high_ = 1;
    std::vector<double> ticks_;
};

struct range {
    double low = std::numeric_limits<double>::infinity();
    double high = -std::numeric_limits<double>::infinity();

    void add(double value, bool log) {
        if (std::isfinite(value) && (!log || value > 0)) {
            low = std::min(low, value);
            high = std::max(high, value);
        }
    }
    void settle(bool log) {
        if (low > high) {
            low = log ? 1e-6 : 0;
            high = 1;
        }
    }
};

std::string head(double width, double height, const std::string & title) {
    return fmt::format(
        "<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" xmlns=\"http://www.w3.org/2000/svg\"><title>{}</title>\n",
        width, height, html_text(title));
}

std::string axes(const svg_chart & chart, const axis & x, const axis & y) {
    const double foot = k_height - k_bottom;
    std::string out;
    for (const double tick : x.ticks()) {
        const double at = x.pixel(tick);
        out += fmt::format(
            "<line class=\"grid\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\"/>"
            "<text x=\"{0:.1f}\" y=\"{3:.1f}\" text-anchor=\"middle\">{4}</text>\n",
            at, k_top, foot, foot + 16, show_number(tick));
    }
    for (const double tick : y.ticks()) {
        const double at = y.pixel(tick);
        out += fmt::format(
            "<line class=\"grid\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{2:.1f}\" y2=\"{1:.1f}\"/>"
            "<text x=\"{3:.1f}\" y=\"{4:.1f}\" text-anchor=\"end\">{5}</text>\n",
            k_left, at, k_width - k_right, k_left - 6, at + 4, show_number(tick));
    }
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                       (k_left + k_width - k_right) / 2, k_height - 8, html_text(chart.x_label));
    out += fmt::format("<text transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                       (k_top + foot) / 2, html_text(chart.y_label));
    return out;
}

std::string legend(const std::vector<svg_series> & series) {
    std::string out;
    double at = k_left + 12;
    for (size_t i = 0; i < series.size() && series.size() > 1; ++i) {
        out += fmt::format(
            "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" fill=\"{}\"/><text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", at,
            k_top + 10, k_colours[i % k_colours.size()], at + 8, k_top + 14, html_text(series[i].name));
        at += 24 + 7.0 * static_cast<double>(series[i].name.size());
    }
    return out;
}

}  // namespace

std::string html_text(const std::string & text) {
    std::string out;
    for (const char c : text) {
        out += c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '"' ? "&quot;" : std::string(1, c);
    }
    return out;
}

std::string show_number(double value) {
    const double size = std::abs(value);
    if (value == 0) {
        return "0";
    }
    if (size >= 1e-3 && size < 1e5) {
        return fmt::format("{:.3g}", value) == fmt::format("{:.0f}", value) || size >= 1000
                   ? fmt::format("{:.0f}", value)
                   : fmt::format("{:.3g}", value);
    }
    return fmt::format("{:.2g}", value);
}

std::string draw_chart(const svg_chart & chart) {
    range xs;
    range ys;
    for (const svg_series & series : chart.series) {
        for (const auto & [x, y] : series.points) {
            xs.add(x, chart.log_x);
            ys.add(y, chart.log_y);
        }
    }
    if (chart.y_mark) {
        ys.add(*chart.y_mark, chart.log_y);
    }
    if (!chart.log_y) {
        ys.add(0, false);
    }
    xs.settle(chart.log_x);
    ys.settle(chart.log_y);
    const axis x(xs.low, xs.high, chart.log_x, k_left, k_width - k_right);
    const axis y(ys.low, ys.high, chart.log_y, k_height - k_bottom, k_top);
    std::string out = head(k_width, k_height, chart.title) + axes(chart, x, y);
    if (chart.x_mark) {
        out += fmt::format("<line class=\"mark\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{0:.1f}\" y2=\"{2:.1f}\"/>\n",
                           x.pixel(*chart.x_mark), k_top, k_height - k_bottom);
    }
    if (chart.y_mark) {
        out += fmt::format("<line class=\"mark\" x1=\"{0:.1f}\" y1=\"{1:.1f}\" x2=\"{2:.1f}\" y2=\"{1:.1f}\"/>\n",
                           k_left, y.pixel(*chart.y_mark), k_width - k_right);
    }
    for (size_t i = 0; i < chart.series.size(); ++i) {
        const svg_series & series = chart.series[i];
        const char * colour = k_colours[i % k_colours.size()];
        if (series.line) {
            out += fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" points=\"", colour);
            for (const auto & [px, py] : series.points) {
                out += fmt::format("{:.1f},{:.1f} ", x.pixel(px), y.pixel(py));
            }
            out += "\"/>\n";
        }
        for (size_t point = 0; point < series.points.size(); ++point) {
            const auto & [px, py] = series.points[point];
            const std::string label =
                i == 0 && point < chart.point_labels.size() ? chart.point_labels[point] + ": " : std::string();
            out += fmt::format(
                "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" fill=\"{}\"><title>{}{}, {}</title></circle>\n",
                x.pixel(px), y.pixel(py), series.line ? "3" : "4.5", colour, html_text(label), show_number(px),
                show_number(py));
        }
    }
    return out + legend(chart.series) + "</svg>\n";
}

std::string draw_heat_map(const svg_heat_map & map) {
    range values;
    for (const std::vector<double> & row : map.values) {
        for (const double value : row) {
            values.add(value, true);
        }
    }
    values.settle(true);
    const auto n_rows = static_cast<double>(map.values.size());
    const auto n_cols = static_cast<double>(map.values.front().size());
    const double cell_w = (k_width - k_left - k_right) / n_cols;
    const double cell_h = std::clamp(cell_w * 0.8, 5.0, 22.0);
    const double height = k_top + n_rows * cell_h + k_bottom;
    const double span = std::max(std::log(values.high / values.low), 1e-9);
    std::string out = head(k_width, height, map.title);
    for (size_t r = 0; r < map.values.size(); ++r) {
        for (size_t c = 0; c < map.values[r].size(); ++c) {
            const double value = map.values[r][c];
            const double depth = value > 0 ? std::log(value / values.low) / span : 0;
            const bool marked = r < map.marked.size() && c < map.marked[r].size() && map.marked[r][c];
            out += fmt::format(
                "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"hsl(210,{:.0f}%,{:.0f}%)\""
                "{}><title>{} {}, {} {}: {}</title></rect>\n",
                k_left + static_cast<double>(c) * cell_w + 0.5, k_top + static_cast<double>(r) * cell_h + 0.5,
                cell_w - 1, cell_h - 1, 30 + 50 * depth, 95 - 70 * depth,
                marked ? " stroke=\"#D55E00\" stroke-width=\"1.5\"" : "", html_text(map.x_label), c,
                html_text(map.y_label), r, show_number(value));
        }
        if (r % (map.values.size() > 16 ? 4 : 1) == 0) {
            out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", k_left - 6,
                               k_top + (static_cast<double>(r) + 0.5) * cell_h + 4, r);
        }
    }
    const double foot = k_top + n_rows * cell_h;
    const size_t every = map.values.front().size() > 16 ? 4 : 1;
    for (size_t c = 0; c < map.values.front().size(); c += every) {
        out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                           k_left + (static_cast<double>(c) + 0.5) * cell_w, foot + 16, c);
    }
    out += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
                       (k_left + k_width - k_right) / 2, height - 8, html_text(map.x_label));
    out += fmt::format("<text transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                       k_top + n_rows * cell_h / 2, html_text(map.y_label));
    return out + "</svg>\n";
}

}  // namespace tmx
