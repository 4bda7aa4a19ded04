// cli/plot.h -- a line plot over prompt lengths, drawn by gnuplot.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tmx {

struct plot_line {
    std::string name;
    std::vector<std::pair<double, double>> points;  // (x, y), x ascending
};

struct plot_text {
    std::string title;
    std::string x_label;
    std::string y_label;
};

bool plotting_available();  // gnuplot is on PATH

// Writes PREFIX.png and PREFIX.svg. ERRORS failure: gnuplot is missing or failed, nothing to draw, or a file did not
// come.
void draw_plot(const std::string & prefix, const plot_text & text, const std::vector<plot_line> & lines);

}  // namespace tmx
