// eval/report/cell_map.h -- a drawing of named rows and columns whose cells are coloured by their value, from one end
// of a scale to the other.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace tmx {

struct cell_map {
    std::string title;
    std::vector<std::string> row_names;
    struct panel {
        std::string name;
        std::vector<std::string> column_names;
        std::vector<std::vector<std::optional<double>>> values;  // [row][column]; none: grey
    };
    std::vector<panel> panels;  // side by side
    double low = 0;             // red
    double high = 1;            // green; yellow in the middle
    int digits = 0;
};

// A whole SVG. REQUIRES a panel with a column, and rows.
std::string draw_cell_map(const cell_map & map);

}  // namespace tmx
