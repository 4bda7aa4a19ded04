#include "cli/compare.h"

#include <fmt/core.h>

#include <algorithm>
#include <iterator>

#include "cli/prefill_progress.h"
#include "cli/speedup.h"
#include "cli/terminal.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

std::string setting_of(const arm & a) {
    std::string text = show_setting({a.context.flash_attention, a.context.n_ubatch});
    if (a.ours && a.precision == "fast") {
        text += ", fast";
    }
    return text;
}

// First-token logits, then those behind each compared token of stock's answer.
void run_first(const model & m, session & s, const timed_prefill & prefilled, const compare_options & options,
               const std::vector<token_id> * stock_answer, arm_report & report) {
    const int64_t n_prompt = s.n_tokens();
    report.rows.emplace_back(s.last_logits().begin(), s.last_logits().end());
    report.answer = decode_answer(m, s, prefilled.first, options.n_answer);
    const std::vector<token_id> & compared = stock_answer != nullptr ? *stock_answer : report.answer.tokens;
    if (!s.roll_back(n_prompt)) {
        return;  // recurrent memory: only the first token can be compared
    }
    const auto n = std::min<size_t>(compared.size(), static_cast<size_t>(options.n_compared));
    logit_rows forced = s.force({compared.data(), n});
    std::move(forced.begin(), forced.end(), std::back_inserter(report.rows));
}

void add_decode_rate(const greedy_answer & answer, arm_report & report) {
    if (answer.n_decoded >= 2) {
        report.decode_rate.push_back(static_cast<double>(answer.n_decoded) / answer.seconds);
    }
}

// A model that has read a text with short lines answers in short lines; a line that goes on in lower case is joined to
// the one before, so that the answer fills the screen's own width.
std::string joined_lines(std::string text) {
    for (size_t i = 1; i + 1 < text.size(); ++i) {
        if (text[i] == '\n' && text[i - 1] != '\n' && text[i + 1] >= 'a' && text[i + 1] <= 'z') {
            text[i] = ' ';
        }
    }
    return text;
}

std::string kl_text(const std::optional<fidelity> & f, bool first) {
    if (!f || (!first && f->n_following == 0)) {
        return "-";
    }
    const double kl = first ? f->first_kl : f->following_kl;
    return kl == 0 ? "0" : kl < 1e-4 ? fmt::format("{:.1e}", kl) : fmt::format("{:.5f}", kl);
}

}  // namespace

int64_t repetitions_for(double round_seconds) {
    return round_seconds < 20 ? 3 : round_seconds < 180 ? 2 : 1;
}

comparison compare(backend & b, arm_models & models, const prompt_setup & prompt, const chosen_plan & chosen,
                   const compare_options & options) {
    comparison compared;
    std::optional<stock_setting> setting = parse_stock_setting(options.stock);
    if (!setting) {
        compared.search = find_fastest_stock(b, models, prompt);
        setting = compared.search->winner();
    }
    std::vector<arm> arms = {stock_arm(prompt, *setting), exact_arm(prompt)};
    if (chosen.sparse || chosen.value.arithmetic == precision::fast) {
        arms.push_back(planned_arm(prompt, chosen));
    }
    std::vector<arm_report> & reports = compared.reports;
    reports.resize(arms.size());
    for (size_t i = 0; i < arms.size(); ++i) {
        reports[i].how = arms[i];
        reports[i].setting = setting_of(arms[i]);
        reports[i].device = models.device_of(arms[i]);
    }
    int64_t n_repeat = std::max<int64_t>(options.n_repeat, 1);
    const double start = seconds_now();
    for (int64_t repetition = 0; repetition < n_repeat; ++repetition) {
        for (arm_report & report : reports) {
            const model & m = models.of(report.how);
            const std::unique_ptr<session> s = open_arm(b, m, report.how);
            timed_prefill prefilled;
            {
                std::string label = report.how.name;
                if (n_repeat > 1) {
                    label += fmt::format(" {}/{}", repetition + 1, n_repeat);
                }
                prefill_progress progress(label, static_cast<int64_t>(prompt.ids.size()));
                prefilled = prefill_arm(b, report.how, *s, prompt.ids, [&](int64_t n) { progress.done(n); });
            }
            report.ttft.push_back(prefilled.seconds);
            if (repetition > 0) {
                add_decode_rate(decode_answer(m, *s, prefilled.first, options.n_answer), report);
                continue;
            }
            if (report.how.ours) {
                report.statistics = parse_statistics(b.statistics(s->backend_context()));
            }
            run_first(m, *s, prefilled, options, &report == &reports[0] ? nullptr : &reports[0].answer.tokens, report);
            add_decode_rate(report.answer, report);
        }
        if (options.n_repeat == 0 && repetition == 0) {
            n_repeat = repetitions_for(seconds_now() - start);
        }
    }
    for (size_t i = 1; i < reports.size(); ++i) {
        reports[i].to_stock = compare_rows(reports[0].rows, reports[i].rows);
        if (i > 1) {
            reports[i].to_exact = compare_rows(reports[1].rows, reports[i].rows);
        }
    }
    return compared;
}

std::string print_comparison(const model & m, const prompt_setup & prompt, const chosen_plan & chosen,
                             const comparison & compared, int width) {
    const std::vector<arm_report> & reports = compared.reports;
    const double n_prompt = static_cast<double>(prompt.ids.size());
    const size_t n_repeat = reports[0].ttft.size();
    const auto row = [&](const std::string & label, auto cell) {
        std::vector<std::string> cells = {label};
        for (const arm_report & r : reports) {
            cells.push_back(cell(r));
        }
        return cells;
    };
    text_table table(row("", [](const arm_report & r) { return r.how.name; }));
    if (reports[0].device != reports[1].device) {
        table.add(row("device", [](const arm_report & r) { return r.device; }));
    }
    table.add(row("setting", [](const arm_report & r) { return r.setting; }));
    table.add(row(n_repeat > 1 ? fmt::format("TTFT, median of {}", n_repeat) : "time to first token (TTFT)",
                  [](const arm_report & r) { return show_seconds(r.median_ttft()); }));
    const auto over_stock = [&](const arm_report & r) { return speedup_over(reports[0].ttft, r.ttft); };
    table.add(
        row("speed-up over stock", [&](const arm_report & r) { return fmt::format("{:.2f}x", over_stock(r).median); }));
    table.add(row(n_repeat > 1 ? "  over the repetitions" : "",
                  [&](const arm_report & r) { return &r == &reports[0] ? "" : over_stock(r).spread_text(); }));
    table.add(
        row("prefill", [&](const arm_report & r) { return fmt::format("{:.0f} tok/s", n_prompt / r.median_ttft()); }));
    table.add(row("decode", [](const arm_report & r) {
        return r.decode_rate.empty() ? "-" : fmt::format("{:.1f} tok/s", median(r.decode_rate));
    }));
    table.add(row("layers of the plan / all", [&](const arm_report & r) {
        return fmt::format("{} / {}", r.how.plan_json.empty() ? 0 : chosen.n_planned(), m.facts().n_layer);
    }));
    table.add(row("pairs computed", [](const arm_report & r) {
        return fmt::format("{:.1f}%", r.statistics ? 100 * r.statistics->kept_share() : 100.0);
    }));
    table.add(row("first-token KL to stock", [](const arm_report & r) { return kl_text(r.to_stock, true); }));
    table.add(row("first-token KL to exact", [](const arm_report & r) { return kl_text(r.to_exact, true); }));
    const auto n_following = static_cast<int64_t>(reports[0].rows.size()) - 1;
    table.add(row(fmt::format("KL, next {} tokens", n_following),
                  [](const arm_report & r) { return kl_text(r.to_stock, false); }));
    table.add(row("same top token", [](const arm_report & r) {
        return r.to_stock ? fmt::format("{} of {}", r.to_stock->n_same_top, r.to_stock->n_positions) : "-";
    }));
    std::string text = table.print(width);
    if (compared.search) {
        text += "\n" +
                wrap("Stock's setting is the fastest of " + std::to_string(compared.search->tried.size()) +
                         " on this prompt: " + compared.search->text() + ".",
                     width, 0) +
                "\n";
    }
    if (n_repeat == 1) {
        text += "\n" + wrap(k_one_run_note, width, 0) + "\n";
    }
    text += "\nAnswers (greedy, each arm's own)\n";
    for (const arm_report & r : reports) {
        constexpr int k_indent = 14;
        const bool same = &r != &reports[0] && r.answer.tokens == reports[0].answer.tokens;
        const std::string answer = same ? "(the same as stock)" : joined_lines(m.text(r.answer.tokens));
        text += fmt::format("{:<12}  {}\n", r.how.name, wrap(answer, width, k_indent));
    }
    return text;
}

nlohmann::ordered_json report_json(const model & m, const prompt_setup & prompt, const arm_report & report) {
    nlohmann::ordered_json j;
    j["name"] = report.how.name;
    j["device"] = report.device.empty() ? nlohmann::ordered_json() : nlohmann::ordered_json(report.device);
    j["flash_attention"] = report.how.context.flash_attention;
    j["n_ubatch"] = report.how.context.n_ubatch;
    j["precision"] = report.how.ours ? report.how.precision : "stock";
    j["ttft_s"] = report.median_ttft();
    j["ttft_s_all"] = report.ttft;
    j["prefill_tokens_per_s"] = static_cast<double>(prompt.ids.size()) / report.median_ttft();
    if (!report.decode_rate.empty()) {
        j["decode_tokens_per_s"] = median(report.decode_rate);
    } else {
        j["decode_tokens_per_s"] = nullptr;
    }
    // Bytes of a cut-off last character would not be valid JSON text; the dump replaces them.
    j["answer"] = m.text(report.answer.tokens);
    j["answer_tokens"] = report.answer.tokens;
    j["answer_ended"] = report.answer.ended;
    const auto add_fidelity = [&](const char * key, const std::optional<fidelity> & f) {
        if (f) {
            j[key] = {{"first_kl", f->first_kl},     {"following_kl", f->following_kl},
                      {"worst_kl", f->worst_kl},     {"n_following", f->n_following},
                      {"n_same_top", f->n_same_top}, {"n_positions", f->n_positions}};
        }
    };
    add_fidelity("to_stock", report.to_stock);
    add_fidelity("to_exact", report.to_exact);
    if (report.statistics) {
        j["statistics"] = report.statistics->raw;
    }
    return j;
}

}  // namespace tmx
