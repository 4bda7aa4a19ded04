#include "eval/report/cell_map.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "profile/page/svg.h"

namespace tmx {
namespace {

constexpr double k_left = 190;
constexpr double k_cell_width = 58;
constexpr double k_cell_height = 20;
constexpr double k_gap = 24;  // between panels
constexpr double k_top = 62;
constexpr double k_least_width = 720;
constexpr double k_letter = 7.5;  // about as wide as one of the title is

// From red by yellow to green; share in 0..1.
std::string colour(double share) {
    share = std::clamp(share, 0.0, 1.0);
    const auto mix = [&](double red, double yellow, double green) {
        const double value =
            share < 0.5 ? red + (yellow - red) * 2 * share : yellow + (green - yellow) * (2 * share - 1);
        return static_cast<int>(std::lround(value));
    };
    return fmt::format("#{:02x}{:02x}{:02x}", mix(222, 252, 116), mix(108, 232, 190), mix(100, 170, 132));
}

std::string text_at(double x, double y, const char * anchor, const std::string & text, const char * more = "") {
    return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, more,
                       html_text(text));
}

}  // namespace

std::string draw_cell_map(const cell_map & map) {
    double width = k_left;
    for (const cell_map::panel & panel : map.panels) {
        width += static_cast<double>(panel.column_names.size()) * k_cell_width + k_gap;
    }
    // Few cells are not blown up to a page's width, and the title has room.
    width = std::max({width, k_least_width, 16 + k_letter * static_cast<double>(map.title.size())});
    const double height = k_top + static_cast<double>(map.row_names.size()) * k_cell_height + 12;
    std::string out = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {:.0f} {:.0f}\" width=\"{:.0f}\" height=\"{:.0f}\" "
        "font-family=\"sans-serif\" font-size=\"11\" fill=\"#1a1a1a\">\n<rect width=\"100%\" height=\"100%\" "
        "fill=\"#ffffff\"/>\n",
        width, height, width, height);
    out += text_at(8, 18, "start", map.title, " font-size=\"13\" font-weight=\"bold\"");
    for (size_t row = 0; row < map.row_names.size(); ++row) {
        out += text_at(k_left - 8, k_top + (static_cast<double>(row) + 0.7) * k_cell_height, "end", map.row_names[row]);
    }
    double left = k_left;
    for (const cell_map::panel & panel : map.panels) {
        out += text_at(left, 38, "start", panel.name, " font-weight=\"bold\"");
        for (size_t c = 0; c < panel.column_names.size(); ++c) {
            const double x = left + static_cast<double>(c) * k_cell_width;
            out += text_at(x + k_cell_width / 2, k_top - 6, "middle", panel.column_names[c]);
            for (size_t row = 0; row < map.row_names.size(); ++row) {
                const double y = k_top + static_cast<double>(row) * k_cell_height;
                const std::optional<double> value = panel.values[row][c];
                const std::string fill = value ? colour((*value - map.low) / (map.high - map.low)) : "#e6e6e6";
                out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
                                   x, y, k_cell_width - 1, k_cell_height - 1, fill);
                if (value) {
                    out += text_at(x + k_cell_width / 2, y + k_cell_height * 0.7, "middle",
                                   fmt::format("{:.{}f}", *value, map.digits));
                }
            }
        }
        left += static_cast<double>(panel.column_names.size()) * k_cell_width + k_gap;
    }
    return out + "</svg>\n";
}

}  // namespace tmx
