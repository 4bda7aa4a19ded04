// cli/plot.h -- drawings as files: the SVG as it is drawn, and the same turned into pixels.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tmx {

// Writes PREFIX.svg and, by rsvg-convert, PREFIX.png. Returns "" or why there is no PNG; one of an earlier run is then
// gone. ERRORS failure: the SVG cannot be written.
std::string write_drawing(const std::string & prefix, const std::string & svg);

// Says on stderr what write_drawing() wrote; `problem` is what it returned.
void say_drawn(const std::string & prefix, const std::string & problem);

struct plot_line {
    std::string name;
    std::vector<std::pair<double, double>> points;  // (x, y), x ascending
};

struct plot_text {
    std::string title;
    std::string x_label;
    std::string y_label;
};

// Lines over prompt lengths, from 0 on, as write_drawing() writes them.
// ERRORS failure, also where there is nothing to draw.
std::string draw_plot(const std::string & prefix, const plot_text & text, const std::vector<plot_line> & lines);

}  // namespace tmx
