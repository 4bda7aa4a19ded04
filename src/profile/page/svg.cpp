#include "profile/page/svg.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "profile/page/svg_axis.h"

namespace tmx {
namespace {

// Pixels of a drawing that is not scaled.
constexpr double k_width = 720;
constexpr double k_plot_height = 300;
constexpr double k_left = 78;
constexpr double k_right = 18;
constexpr double k_bottom = 46;
constexpr double k_title = 26;
constexpr double k_legend_row = 20;
constexpr double k_letter = 7;  // about as wide as one of 12 pixels is

// Distinguishable in grey and by the colour-blind: Okabe and Ito's palette, and a shape each.
constexpr std::array<const char *, 7> k_colours = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                   "#E69F00", "#000000", "#56B4E9"};
constexpr const char * k_dot_colour = "#D55E00";

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

// Looks are written into the elements: a page's style sheet would not be there in a file of its own.
std::string head(double height, const std::string & title) {
    return fmt::format(
               "<svg viewBox=\"0 0 {0:.0f} {1:.0f}\" width=\"{0:.0f}\" height=\"{1:.0f}\" role=\"img\" "
               "xmlns=\"http://www.w3.org/2000/svg\" font-family=\"DejaVu Sans, Verdana, sans-serif\" "
               "font-size=\"12\"><title>{2}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
               k_width, height, html_text(title)) +
           fmt::format("<text x=\"{:.0f}\" y=\"17\" font-size=\"13\" font-weight=\"bold\" fill=\"#1a1a1a\">{}</text>\n",
                       k_left, html_text(title));
}

std::string text(double x, double y, const char * anchor, const std::string & markup) {
    return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" fill=\"#333333\">{}</text>\n", x, y, anchor,
                       markup);
}

std::string turned_text(double y, const std::string & label) {
    return fmt::format(
        "<text transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\" "
        "fill=\"#333333\">{}</text>\n",
        y, html_text(label));
}

std::string line(double x1, double y1, double x2, double y2, const std::string & look) {
    return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2, look);
}

constexpr const char * k_grid = R"(stroke="#e3e3e3" stroke-width="1")";
constexpr const char * k_dashes = R"(stroke="#777777" stroke-width="1.5" stroke-dasharray="5 4")";

// A point of the i-th series: circle, square, triangle, diamond. inner: markup inside the element.
std::string point(size_t series, double x, double y, double r, const std::string & inner = "") {
    const char * colour = k_colours[series % k_colours.size()];
    const auto polygon = [&](const std::string & corners) {
        return fmt::format("<polygon points=\"{}\" fill=\"{}\">{}</polygon>\n", corners, colour, inner);
    };
    switch (series % 4) {
        case 1:
            return fmt::format(
                "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\">{}</rect>\n",
                x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r, colour, inner);
        case 2:
            return polygon(fmt::format("{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}", x, y - 1.3 * r, x - 1.2 * r,
                                       y + 0.9 * r, x + 1.2 * r, y + 0.9 * r));
        case 3:
            return polygon(fmt::format("{:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f} {:.1f},{:.1f}", x, y - 1.3 * r,
                                       x + 1.3 * r, y, x, y + 1.3 * r, x - 1.3 * r, y));
        default:
            return fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" fill=\"{}\">{}</circle>\n", x, y, r,
                               colour, inner);
    }
}

// Names beside their signs, in rows from the title downwards.
class legend {
  public:
    // sign: draws it around (x, y), at most 22 pixels wide.
    template <class Sign>
    void add(const std::string & name, Sign sign) {
        if (name.empty()) {
            return;
        }
        const double width = 40 + k_letter * static_cast<double>(name.size());
        if (x_ > k_left && x_ + width > k_width - k_right) {
            x_ = k_left;
            ++row_;
        }
        const double y = k_title + k_legend_row * row_ + 6;
        markup_ += sign(x_ + 11, y) + text(x_ + 27, y + 4, "start", html_text(name));
        x_ += width;
        used_ = true;
    }
    const std::string & markup() const { return markup_; }
    double foot() const { return k_title + (used_ ? k_legend_row * (row_ + 1) : 0); }

  private:
    std::string markup_;
    double x_ = k_left;
    double row_ = 0;
    bool used_ = false;
};

legend legend_of(const svg_chart & chart) {
    legend names;
    for (size_t i = 0; i < chart.series.size(); ++i) {
        const bool alone = chart.series.size() == 1 && !chart.x_mark && !chart.y_mark;
        names.add(alone ? "" : chart.series[i].name, [&](double x, double y) {
            const std::string stroke = fmt::format("stroke=\"{}\" stroke-width=\"2\"", k_colours[i % k_colours.size()]);
            return (chart.series[i].line ? line(x - 11, y, x + 11, y, stroke) : "") + point(i, x, y, 4);
        });
    }
    if (chart.x_mark) {
        names.add(chart.x_mark->name, [](double x, double y) { return line(x, y - 8, x, y + 8, k_dashes); });
    }
    if (chart.y_mark) {
        names.add(chart.y_mark->name, [](double x, double y) { return line(x - 11, y, x + 11, y, k_dashes); });
    }
    return names;
}

std::string axes(const svg_chart & chart, const svg_axis & x, const svg_axis & y, double top, double foot) {
    std::string out;
    for (const double tick : x.ticks()) {
        const double at = x.pixel(tick);
        // A long number at the end of the axis would be cut off in the middle of it.
        const double half = k_letter * static_cast<double>(show_number(tick).size()) / 2;
        out +=
            line(at, top, at, foot, k_grid) + text(std::min(at, k_width - half), foot + 16, "middle", svg_number(tick));
    }
    for (const double tick : y.ticks()) {
        const double at = y.pixel(tick);
        out += line(k_left, at, k_width - k_right, at, k_grid) + text(k_left - 6, at + 4, "end", svg_number(tick));
    }
    return out + text((k_left + k_width - k_right) / 2, foot + k_bottom - 8, "middle", html_text(chart.x_label)) +
           turned_text((top + foot) / 2, chart.y_label);
}

std::string draw_series(const svg_chart & chart, size_t i, const svg_axis & x, const svg_axis & y) {
    const svg_series & series = chart.series[i];
    std::string out;
    if (series.line) {
        out += fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"2\" points=\"",
                           k_colours[i % k_colours.size()]);
        for (const auto & [px, py] : series.points) {
            out += fmt::format("{:.1f},{:.1f} ", x.pixel(px), y.pixel(py));
        }
        out += "\"/>\n";
    }
    for (size_t at = 0; at < series.points.size(); ++at) {
        const auto & [px, py] = series.points[at];
        const std::string label =
            i == 0 && at < chart.point_labels.size() ? chart.point_labels[at] + ": " : std::string();
        out += point(i, x.pixel(px), y.pixel(py), series.line ? 3 : 4.5,
                     fmt::format("<title>{}{}, {}</title>", html_text(label), show_number(px), show_number(py)));
    }
    return out;
}

// Light to dark. depth: 0 to 1.
std::string shade(double depth) {
    return fmt::format("hsl(210,{:.0f}%,{:.0f}%)", 30 + 50 * depth, 95 - 70 * depth);
}

// From the least to the largest value, in steps; the middle of the scale is their geometric mean.
std::string scale(const range & values, double x, double y) {
    constexpr int k_steps = 24;
    constexpr double k_step = 6;
    std::string out = text(x - 6, y + 10, "end", svg_number(values.low));
    for (int i = 0; i < k_steps; ++i) {
        out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"12\" fill=\"{}\"/>\n",
                           x + k_step * i, y, k_step + 0.5, shade((i + 0.5) / k_steps));
    }
    return out + text(x + k_step * k_steps + 6, y + 10, "start", svg_number(values.high));
}

std::string with_separators(double value) {
    const std::string digits = fmt::format("{:.0f}", std::abs(value));
    std::string text = value < 0 ? "-" : "";
    for (size_t i = 0; i < digits.size(); ++i) {
        if (i > 0 && (digits.size() - i) % 3 == 0) {
            text += ',';
        }
        text += digits[i];
    }
    return text;
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
    if (size >= 1000 && size < 1e9) {
        return with_separators(value);
    }
    return size >= 1e-3 && size < 1000 ? fmt::format("{:.3g}", value) : fmt::format("{:.2g}", value);
}

std::string number_markup(double value, const std::string & raise, const std::string & lower) {
    std::string plain = show_number(value);
    const size_t e = plain.find('e');
    if (e == std::string::npos) {
        return plain;
    }
    const std::string factor = plain.substr(0, e) == "1" ? "" : plain.substr(0, e) + "&#183;";
    return fmt::format("{}10{}{}{}", factor, raise, std::stoi(plain.substr(e + 1)), lower);
}

std::string html_number(double value) {
    return number_markup(value, "<sup>", "</sup>");
}

std::string svg_number(double value) {
    return number_markup(value, "<tspan dy=\"-4\" font-size=\"9\">", "</tspan>");
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
        ys.add(chart.y_mark->at, chart.log_y);
    }
    if (!chart.log_y) {
        ys.add(0, false);
    }
    if (chart.x_from_zero) {
        xs.add(0, chart.log_x);
    }
    xs.settle(chart.log_x);
    ys.settle(chart.log_y);
    const legend names = legend_of(chart);
    const double top = names.foot() + 8;
    const double foot = top + k_plot_height;
    const svg_axis x(xs.low, xs.high, {chart.log_x, chart.whole_x, k_left, k_width - k_right});
    const svg_axis y(ys.low, ys.high, {chart.log_y, false, foot, top});
    std::string out = head(foot + k_bottom, chart.title) + names.markup() + axes(chart, x, y, top, foot);
    if (chart.x_mark) {
        out += line(x.pixel(chart.x_mark->at), top, x.pixel(chart.x_mark->at), foot, k_dashes);
    }
    if (chart.y_mark) {
        out += line(k_left, y.pixel(chart.y_mark->at), k_width - k_right, y.pixel(chart.y_mark->at), k_dashes);
    }
    for (size_t i = 0; i < chart.series.size(); ++i) {
        out += draw_series(chart, i, x, y);
    }
    return out + "</svg>\n";
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
    const double top = k_title + k_legend_row + 8;
    const double foot = top + n_rows * cell_h;
    const double dot = std::min({cell_w / 4, cell_h / 4, 3.0});
    const double span = std::max(std::log(values.high / values.low), 1e-9);
    const auto dot_at = [&](double x, double y, double r) {
        return fmt::format(
            "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" fill=\"{}\" stroke=\"#ffffff\" stroke-width=\"0.7\"/>\n",
            x, y, r, k_dot_colour);
    };
    std::string out = head(foot + k_bottom, map.title) + scale(values, k_left + 70, k_title) +
                      dot_at(k_left + 330, k_title + 6, 3) +
                      text(k_left + 340, k_title + 10, "start", html_text(map.mark_name));
    for (size_t r = 0; r < map.values.size(); ++r) {
        const double y = top + static_cast<double>(r) * cell_h;
        for (size_t c = 0; c < map.values[r].size(); ++c) {
            const double value = map.values[r][c];
            const double x = k_left + static_cast<double>(c) * cell_w;
            out += fmt::format(
                "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\">"
                "<title>{} {}, {} {}: {}</title></rect>\n",
                x + 0.5, y + 0.5, cell_w - 1, cell_h - 1,
                value > 0 ? shade(std::log(value / values.low) / span) : "#ffffff", html_text(map.x_label), c,
                html_text(map.y_label), map.row_names.empty() ? std::to_string(r) : html_text(map.row_names[r]),
                show_number(value));
            if (r < map.marked.size() && c < map.marked[r].size() && map.marked[r][c]) {
                out += dot_at(x + cell_w / 2, y + cell_h / 2, dot);
            }
        }
        if (r % (map.values.size() > 16 ? 4 : 1) == 0) {
            out += text(k_left - 6, y + cell_h / 2 + 4, "end", std::to_string(r));
        }
    }
    for (const double at : {top, foot}) {
        out += line(k_left, at, k_width - k_right, at, k_grid);
    }
    for (const double at : {k_left, k_width - k_right}) {
        out += line(at, top, at, foot, k_grid);
    }
    const size_t every = map.values.front().size() > 16 ? 4 : 1;
    for (size_t c = 0; c < map.values.front().size(); c += every) {
        out += text(k_left + (static_cast<double>(c) + 0.5) * cell_w, foot + 16, "middle", std::to_string(c));
    }
    return out + text((k_left + k_width - k_right) / 2, foot + k_bottom - 8, "middle", html_text(map.x_label)) +
           turned_text((top + foot) / 2, map.y_label) + "</svg>\n";
}

}  // namespace tmx
