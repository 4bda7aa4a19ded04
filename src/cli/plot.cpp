#include "cli/plot.h"

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "cli/child_process.h"
#include "cli/output_file.h"
#include "profile/page/svg.h"
#include "runtime/failure.h"

namespace tmx {

std::string write_drawing(const std::string & prefix, const std::string & svg) {
    write_file(prefix + ".svg", svg);
    std::error_code error;
    std::filesystem::remove(prefix + ".png", error);
    if (find_program("rsvg-convert").empty()) {
        return "no PNG, rsvg-convert is not installed (Debian: librsvg2-bin)";
    }
    // Twice as many pixels as the drawing has units: sharp on any screen.
    const child_result result =
        run_child({"rsvg-convert", "--zoom", "2", "--output", prefix + ".png", prefix + ".svg"});
    const auto size = std::filesystem::file_size(prefix + ".png", error);
    if (result.exit_code != 0 || error || size == 0) {
        return fmt::format("rsvg-convert did not draw {}.png: {}", prefix, result.output);
    }
    return "";
}

void say_drawn(const std::string & prefix, const std::string & problem) {
    fmt::print(stderr, "drew {}.svg{}\n", prefix, problem.empty() ? " and .png" : "; " + problem);
}

std::string draw_plot(const std::string & prefix, const plot_text & text, const std::vector<plot_line> & lines) {
    if (std::all_of(lines.begin(), lines.end(), [](const plot_line & line) { return line.points.empty(); })) {
        throw failure("nothing to draw: no measurement was finished");
    }
    svg_chart chart;
    chart.title = text.title;
    chart.x_label = text.x_label;
    chart.y_label = text.y_label;
    chart.whole_x = true;
    chart.x_from_zero = true;
    for (const plot_line & line : lines) {
        chart.series.push_back({line.name, line.points, true});
    }
    return write_drawing(prefix, draw_chart(chart));
}

}  // namespace tmx
