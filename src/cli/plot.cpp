#include "cli/plot.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "cli/child_process.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

// In gnuplot's single quotes only the quote itself is special, and is doubled.
std::string quoted(const std::string & text) {
    std::string result = "'";
    for (const char c : text) {
        result += c;
        if (c == '\'') {
            result += c;
        }
    }
    return result + "'";
}

// Distinguishable in grey and by the colour-blind: Okabe and Ito's palette, and a point shape each.
constexpr std::array<const char *, 6> k_colours = {"#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"};

std::string script_of(const std::string & prefix, const plot_text & text, const std::vector<plot_line> & lines) {
    std::string script;
    for (size_t i = 0; i < lines.size(); ++i) {
        script += fmt::format("$line{} << END\n", i);
        for (const auto & [x, y] : lines[i].points) {
            script += fmt::format("{:.6g} {:.6g}\n", x, y);
        }
        script += "END\n";
    }
    std::string curves;
    for (size_t i = 0; i < lines.size(); ++i) {
        curves +=
            fmt::format("{}$line{} using 1:2 with linespoints lw 2 pt {} ps 1.2 lc rgb '{}' title {}",
                        i > 0 ? ", " : "", i, 5 + 2 * (i % 4), k_colours[i % k_colours.size()], quoted(lines[i].name));
    }
    script += fmt::format(
        "set title {} noenhanced\nset xlabel {} noenhanced\nset ylabel {} noenhanced\nset key left top noenhanced\n"
        "set grid lc rgb '#dddddd'\nset xrange [0:*]\nset yrange [0:*]\nset offsets graph 0.02, graph 0.03, graph "
        "0.05, 0\n"
        "set border 3\nset tics nomirror out\n",
        quoted(text.title), quoted(text.x_label), quoted(text.y_label));
    script +=
        fmt::format("set terminal pngcairo size 960,600 font 'sans,12' background '#ffffff'\nset output {}\nplot {}\n",
                    quoted(prefix + ".png"), curves);
    script += fmt::format(
        "set terminal svg size 960,600 font 'sans,14' background '#ffffff'\nset output {}\nreplot\nset output\n",
        quoted(prefix + ".svg"));
    return script;
}

}  // namespace

bool plotting_available() {
    return !find_program("gnuplot").empty();
}

void draw_plot(const std::string & prefix, const plot_text & text, const std::vector<plot_line> & lines) {
    if (!plotting_available()) {
        throw failure("gnuplot is not installed, so nothing was drawn. Debian: apt-get install gnuplot-nox");
    }
    if (std::all_of(lines.begin(), lines.end(), [](const plot_line & line) { return line.points.empty(); })) {
        throw failure("nothing to draw: no measurement was finished");
    }
    const child_result result = run_child({"gnuplot"}, script_of(prefix, text, lines));
    std::error_code error;
    for (const char * ending : {".png", ".svg"}) {
        const auto size = std::filesystem::file_size(prefix + ending, error);
        if (result.exit_code != 0 || error || size == 0) {
            throw failure(fmt::format("gnuplot did not draw {}{}: {}", prefix, ending, result.output));
        }
    }
}

}  // namespace tmx
