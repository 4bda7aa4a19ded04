// profile/page/svg.h -- the drawings of reports and benchmarks: scalable, without scripts, fonts or anything from
// elsewhere. Each is a whole SVG that looks the same in a page, in a file of its own, and turned into pixels.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tmx {

std::string html_text(const std::string & text);  // & < > " escaped
std::string show_number(double value);            // three digits: "0.0118", "3.4e-06", "12", "8,192"

// The same as markup: powers of ten as such, "3.4 10^-6", the exponent between `raise` and `lower`.
std::string number_markup(double value, const std::string & raise, const std::string & lower);
std::string html_number(double value);  // for a page
std::string svg_number(double value);   // inside a <text>

struct svg_series {
    std::string name;
    std::vector<std::pair<double, double>> points;  // (x, y); where the y axis is logarithmic, points with y <= 0 are
                                                    // drawn at its foot
    bool line = true;                               // false: single points
};

// A dashed line across the drawing, named in the legend.
struct svg_mark {
    double at = 0;
    std::string name;
};

struct svg_chart {
    std::string title;
    std::string x_label;
    std::string y_label;
    bool log_x = false;
    bool log_y = false;
    bool whole_x = false;      // x are whole numbers: layers, tokens
    bool x_from_zero = false;  // however far from it the first point is
    std::vector<svg_series> series;
    std::optional<svg_mark> x_mark;         // a vertical line
    std::optional<svg_mark> y_mark;         // a horizontal line
    std::vector<std::string> point_labels;  // of the first series' points, shown on hovering; may be empty
};

// The legend stands above the axes, where no curve is. REQUIRES at least one series with a point.
std::string draw_chart(const svg_chart & chart);

// Cells [row][column], coloured by log of the value from light to dark, as a scale above them says; a cell of 0 is
// white; hovering shows the value. marked: a dot in a cell.
struct svg_heat_map {
    std::string title;
    std::string x_label;
    std::string y_label;
    std::string mark_name;  // what a dot means
    std::vector<std::vector<double>> values;
    std::vector<std::vector<bool>> marked;
    std::vector<std::string> row_names = {};  // shown on hovering; empty: their numbers
};
std::string draw_heat_map(const svg_heat_map & map);

}  // namespace tmx
