// profile/svg.h -- drawings of the report: scalable, without scripts, fonts or anything from elsewhere.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tmx {

std::string html_text(const std::string & text);  // & < > " escaped
std::string show_number(double value);            // short: "0.0118", "3.4e-06", "12"

struct svg_series {
    std::string name;
    std::vector<std::pair<double, double>> points;  // (x, y); where the y axis is logarithmic, points with y <= 0 are
                                                    // drawn at its foot
    bool line = true;                               // false: single points
};

struct svg_chart {
    std::string title;  // read out by screen readers; the page has its own headings
    std::string x_label;
    std::string y_label;
    bool log_x = false;
    bool log_y = false;
    std::vector<svg_series> series;
    std::optional<double> x_mark;           // a vertical line
    std::optional<double> y_mark;           // a horizontal line
    std::vector<std::string> point_labels;  // of the first series' points, shown on hovering; may be empty
};

// REQUIRES at least one series with a point.
std::string draw_chart(const svg_chart & chart);

// Cells [row][column], coloured by log of the value from light to dark; hovering shows the value. marked: a frame
// around a cell.
struct svg_heat_map {
    std::string title;
    std::string x_label;
    std::string y_label;
    std::vector<std::vector<double>> values;
    std::vector<std::vector<bool>> marked;
};
std::string draw_heat_map(const svg_heat_map & map);

}  // namespace tmx
