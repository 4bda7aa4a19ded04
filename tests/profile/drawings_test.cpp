// Drawings: what they hold, and that they stand alone.
#include <gtest/gtest.h>

#include <regex>

#include "profile/page/svg.h"

namespace tmx::test {
namespace {

svg_chart two_lines() {
    svg_chart chart;
    chart.title = "t";
    chart.series = {{"first", {{0, 0.5}, {1, 1}, {2, 3}}, true}, {"second", {{0, 3}, {1, 2}, {2, 1}}, true}};
    return chart;
}

// y of the text element that holds `text`.
double height_of(const std::string & svg, const std::string & text) {
    std::smatch found;
    const std::regex element("<text x=\"[0-9.]+\" y=\"([0-9.]+)\"[^>]*>" + text + "</text>");
    return std::regex_search(svg, found, element) ? std::stod(found[1]) : -1;
}

TEST(Drawings, TheLegendStandsAboveAllCurvesAndNamesTheMarks) {
    svg_chart chart = two_lines();
    chart.x_mark = {1, "the plan"};
    chart.y_mark = {2.5, "budget, 2.5"};
    const std::string svg = draw_chart(chart);
    double top = 1e9;
    const std::regex points("<polyline[^>]*points=\"([^\"]*)\"");
    for (std::sregex_iterator line(svg.begin(), svg.end(), points), end; line != end; ++line) {
        const std::string text = (*line)[1];
        const std::regex y(",([0-9.]+)");
        for (std::sregex_iterator at(text.begin(), text.end(), y); at != end; ++at) {
            top = std::min(top, std::stod((*at)[1]));
        }
    }
    for (const char * name : {"first", "second", "the plan", "budget, 2.5"}) {
        const double height = height_of(svg, name);
        EXPECT_GT(height, 0) << name;
        EXPECT_LT(height + 4, top) << name;
    }
}

TEST(Drawings, NumbersAtTheEndOfAnAxisAreWhole) {
    svg_chart chart;
    chart.log_x = true;
    chart.series = {{"a", {{4000, 1}, {90'000, 2}}, true}};
    const std::string svg = draw_chart(chart);
    std::smatch found;
    ASSERT_TRUE(
        std::regex_search(svg, found, std::regex("<text x=\"([0-9.]+)\"[^>]*text-anchor=\"middle\"[^>]*>100,000<")));
    // Seven characters of 12 pixels are about 49 wide; the drawing is 720.
    EXPECT_LE(std::stod(found[1]) + 24.5, 720);
}

TEST(Drawings, StandAlone) {
    const std::string svg = draw_chart(two_lines());
    EXPECT_EQ(svg.find("class="), std::string::npos) << "a style sheet is not there in a file";
    EXPECT_NE(svg.find("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"), std::string::npos);
    EXPECT_NE(svg.find("xmlns=\"http://www.w3.org/2000/svg\""), std::string::npos);
}

TEST(Drawings, AHeatMapHasAScaleAndDotsInsteadOfFrames) {
    const std::string svg = draw_heat_map({"t", "layer", "head", "in the plan", {{1e-6, 1e-3}, {0, 0.5}}, {{true}}});
    EXPECT_GT(height_of(svg, "10<tspan dy=\"-4\" font-size=\"9\">-6</tspan>"), 0);
    EXPECT_GT(height_of(svg, "0.5"), 0);
    EXPECT_GT(height_of(svg, "in the plan"), 0);
    EXPECT_EQ(std::regex_search(svg, std::regex("<rect[^>]*stroke=")), false);
    const std::regex dot("<circle");
    EXPECT_EQ(std::distance(std::sregex_iterator(svg.begin(), svg.end(), dot), std::sregex_iterator()), 2)
        << "of the marked cell and of the legend";
}

TEST(Drawings, WholeNumbersHaveWholeTicks) {
    svg_chart chart = two_lines();
    chart.whole_x = true;
    EXPECT_LT(height_of(draw_chart(chart), "1.5"), 300) << "of the y axis only";
    chart.log_y = true;
    chart.series.front().points.front().second = 1e-7;
    EXPECT_NE(draw_chart(chart).find("10<tspan dy=\"-4\" font-size=\"9\">-7</tspan>"), std::string::npos);
}

TEST(Drawings, HostileNamesAndEmptyRangesStayWellFormed) {
    svg_chart chart;
    chart.title = "<script>&\"";
    chart.log_y = true;
    chart.series = {{"a<b", {{0, 0}, {1, 0}}, true}};
    const std::string svg = draw_chart(chart);
    EXPECT_EQ(svg.find("<script>"), std::string::npos);
    EXPECT_NE(svg.find("&lt;script&gt;&amp;&quot;"), std::string::npos);
    EXPECT_EQ(svg.find("nan"), std::string::npos) << svg;
    EXPECT_EQ(svg.find("inf"), std::string::npos) << svg;
    EXPECT_EQ(draw_heat_map({"t", "x", "y", "m", {{0, 0}, {0, 1e-9}}, {}}).find("nan"), std::string::npos);
    EXPECT_EQ(show_number(0.0118), "0.0118");
    EXPECT_EQ(show_number(0), "0");
    EXPECT_EQ(show_number(12), "12");
    EXPECT_EQ(show_number(3.4e-6), "3.4e-06");
    EXPECT_EQ(show_number(8192), "8,192");
    EXPECT_EQ(show_number(1234567), "1,234,567");
    EXPECT_EQ(show_number(-1000), "-1,000");
    EXPECT_EQ(show_number(999), "999");
    EXPECT_EQ(html_number(3.4e-6), "3.4&#183;10<sup>-6</sup>");
    EXPECT_EQ(html_number(1e-5), "10<sup>-5</sup>");
    EXPECT_EQ(html_number(-2e9), "-2&#183;10<sup>9</sup>");
    EXPECT_EQ(html_number(0.02), "0.02");
}

}  // namespace
}  // namespace tmx::test
