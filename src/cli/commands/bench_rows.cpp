#include "cli/commands/bench_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "cli/output_file.h"
#include "cli/plot.h"
#include "cli/speedup.h"
#include "cli/terminal.h"
#include "runtime/fidelity.h"

namespace tmx {
namespace {

bench_row text_or_null(const std::string & text) {
    return text.empty() ? bench_row() : bench_row(text);
}

// "stock, fa on, ub 512": by its setting, since that is found anew at every length.
std::string name_of_row(const bench_row & row) {
    const std::string mode = row.at("mode");
    return mode == "stock" ? mode + ", " + row.at("setting").get<std::string>() : mode;
}

// As a legend says it; stock's has its setting, too.
std::string name_of_mode(const std::string & mode) {
    return mode == "exact"        ? "exact, our kernels"
           : mode == "exact-fast" ? "exact, bf16"
           : mode == "plan"       ? "TriangleMix"
           : mode == "plan-fast"  ? "TriangleMix, bf16"
                                  : mode;
}

std::string speedup_cell(const bench_row & row) {
    if (row.at("speedup_over_stock").is_null()) {
        return "-";
    }
    std::string ratio = fmt::format("{:.2f}x", row.at("speedup_over_stock").get<double>());
    if (row.at("mode") == "stock") {
        return ratio;
    }
    const speedup s{0, row.at("speedup_low"), row.at("speedup_high"), row.at("reps")};
    return ratio + " " + s.spread_text();
}

}  // namespace

bench_row make_row(const bench_row & who, int64_t n_tokens, const bench_cell & cell, const bench_cell * stock) {
    bench_row j = who;
    j["mode"] = cell.mode;
    j["device"] = text_or_null(cell.device);
    j["setting"] = cell.setting;
    if (!cell.mode.starts_with("plan")) {
        j["plan"] = nullptr;
    }
    j["n_tokens"] = n_tokens;
    j["reps"] = cell.ttft.size();
    j["ttft_s_median"] = median(cell.ttft);
    j["ttft_s_p10"] = quantile(cell.ttft, 0.1);
    j["ttft_s_p90"] = quantile(cell.ttft, 0.9);
    j["ttft_s_all"] = cell.ttft;
    j["tokens_per_s"] = static_cast<double>(n_tokens) / median(cell.ttft);
    const bool compared = stock != nullptr && !stock->ttft.empty();
    const speedup ratio = compared ? speedup_over(stock->ttft, cell.ttft) : speedup();
    j["against"] = compared ? bench_row(stock->setting) : bench_row();
    j["speedup_over_stock"] = compared ? bench_row(ratio.median) : bench_row();
    j["speedup_low"] = compared ? bench_row(ratio.low) : bench_row();
    j["speedup_high"] = compared ? bench_row(ratio.high) : bench_row();
    j["pairs_kept_share"] = cell.kept_share;
    j["decode_tokens_per_s"] = cell.decode_rate.empty() ? bench_row() : bench_row(median(cell.decode_rate));
    if (!cell.stock_tried.is_null()) {
        j["stock_tried"] = cell.stock_tried;
    }
    return j;
}

std::vector<bench_row> read_rows(const std::string & path) {
    std::vector<bench_row> rows;
    std::ifstream in(path);
    for (std::string line; std::getline(in, line);) {
        bench_row row = bench_row::parse(line, nullptr, false);
        if (row.is_object()) {
            rows.push_back(std::move(row));
        }
    }
    return rows;
}

void append_rows(const std::string & path, const std::vector<bench_row> & rows) {
    std::string text;
    for (const bench_row & row : rows) {
        text += row.dump() + "\n";
    }
    append_to_file(path, text);
}

std::optional<std::vector<bench_row>> find_rows(const std::vector<bench_row> & file, const bench_row & identity,
                                                int64_t n_tokens, const std::vector<std::string> & modes,
                                                int64_t n_repeat) {
    std::vector<bench_row> found;
    for (const std::string & mode : modes) {
        // Modes are compared, so they must have been measured in turn: rows of one length and run share their date.
        const auto fits = [&](const bench_row & row) {
            return row.value("n_tokens", bench_row()) == n_tokens && row.value("mode", bench_row()) == mode &&
                   row.value("identity", bench_row()) == identity && row.contains("reps") &&
                   row.at("reps") >= n_repeat && (found.empty() || row.at("date") == found.front().at("date"));
        };
        const auto last = std::find_if(file.rbegin(), file.rend(), fits);
        if (last == file.rend()) {
            return std::nullopt;
        }
        found.push_back(*last);
    }
    return found;
}

std::string table_of(const std::vector<bench_row> & rows, int width) {
    const bool decoded = std::any_of(rows.begin(), rows.end(),
                                     [](const bench_row & row) { return !row.at("decode_tokens_per_s").is_null(); });
    std::vector<std::string> header = {"tokens", "mode", "TTFT", "tok/s", "vs stock", "pairs"};
    if (decoded) {
        header.push_back("decode");
    }
    text_table table(header);
    bool any_alone = false;
    for (const bench_row & row : rows) {
        const std::string shown = speedup_cell(row);
        any_alone = any_alone || (row.at("reps") == 1 && shown != "-");
        std::vector<std::string> cells = {std::to_string(row.at("n_tokens").get<int64_t>()),
                                          name_of_row(row),
                                          fmt::format("{:.3f} s", row.at("ttft_s_median").get<double>()),
                                          fmt::format("{:.0f}", row.at("tokens_per_s").get<double>()),
                                          shown,
                                          fmt::format("{:.1f}%", 100 * row.at("pairs_kept_share").get<double>())};
        if (decoded) {
            const bench_row & rate = row.at("decode_tokens_per_s");
            cells.push_back(rate.is_null() ? "-" : fmt::format("{:.1f}", rate.get<double>()));
        }
        table.add(cells);
    }
    std::string text = table.print(width);
    if (any_alone) {
        text += "\n" + wrap(k_one_run_note, width, 0) + "\n";
    }
    return text;
}

std::string draw_rows(const std::string & prefix, const std::string & title, const std::vector<bench_row> & rows) {
    std::vector<plot_line> lines;
    std::vector<std::string> stock_settings;
    for (const bench_row & row : rows) {
        const std::string mode = row.at("mode");
        auto line = std::find_if(lines.begin(), lines.end(), [&](const plot_line & one) { return one.name == mode; });
        if (line == lines.end()) {
            line = lines.insert(lines.end(), {mode, {}});
        }
        line->points.emplace_back(row.at("n_tokens").get<double>(), row.at("ttft_s_median").get<double>());
        const std::string setting = row.at("setting");
        if (mode == "stock" &&
            std::find(stock_settings.begin(), stock_settings.end(), setting) == stock_settings.end()) {
            stock_settings.push_back(setting);
        }
    }
    for (plot_line & line : lines) {
        line.name = name_of_mode(line.name);
        if (line.name == "stock") {
            line.name = fmt::format("stock llama.cpp ({})", fmt::join(stock_settings, "; "));
        }
    }
    return draw_plot(prefix, {title, "prompt tokens", "time to first token, seconds (median)"}, lines);
}

}  // namespace tmx
