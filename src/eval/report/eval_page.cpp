// The page of eval/report/eval_report.h.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "eval/report/eval_report.h"
#include "profile/page/svg.h"

namespace tmx {
namespace {

constexpr size_t k_shown_discordant = 10;
constexpr size_t k_shown_bytes = 600;  // of an answer
constexpr double k_long_answer = 500;  // tokens: of such ones the page says how many they are

std::string points(double value) {
    return fmt::format("{:.1f}", value);
}

std::string shown_verdict(verdict v) {
    const char * colour = v == verdict::pass ? "#1a7f37" : v == verdict::fail ? "#b42318" : "#7a6a00";
    return fmt::format("<b style=\"color:{}\">{}</b>", colour, name_of(v));
}

std::string role_text(const eval_arm & a) {
    switch (a.role) {
        case arm_role::noise:
            return "noise floor";
        case arm_role::negative:
            return "negative control";
        default:
            return "";
    }
}

std::string arm_cell(const eval_arm & a) {
    const std::string role = role_text(a);
    return html_text(a.name) + (role.empty() ? "" : fmt::format(" <span class=\"note\">({})</span>", role));
}

std::string times(double reference, double other) {
    return fmt::format("{} &rarr; {} s ({:.2f}x)", html_number(reference), html_number(other),
                       other > 0 ? reference / other : 0);
}

std::string arms_section(const eval_report & r) {
    std::string table = "<table>\n" + cells({"arm", "what it computes", "ubatch", "plan sha256"}, "th");
    for (const eval_arm & a : r.settings.arms) {
        table += cells({arm_cell(a), html_text(a.label), std::to_string(a.computed.context.n_ubatch),
                        a.computed.plan_json.empty() ? "" : fmt::format("<code>{}</code>", a.identity())});
    }
    return section_of_page("Arms", "All of them were given the same token ids; answers attend densely in all of them.",
                           table + "</table>\n");
}

std::string suite_section(const eval_report & r) {
    std::string table = "<table>\n" + cells({"suite", "length", "arm", "n", "dense", "arm's", "difference, 95%",
                                             "verdict", "pairs computed", "time to first token"},
                                            "th");
    std::map<std::pair<std::string, int64_t>, std::string> rows;
    int64_t n_vacuous = 0;
    for (const scored_arm & scored : r.arms) {
        for (const suite_result & s : scored.suites) {
            n_vacuous += s.n_vacuous;
            if (s.n == 0) {
                continue;
            }
            rows[{s.suite, s.length}] += cells(
                {html_text(s.suite), html_number(static_cast<double>(s.length)), arm_cell(*scored.arm),
                 std::to_string(s.n), points(s.reference), points(s.other), interval_text(s.difference, 1),
                 shown_verdict(s.shown), fmt::format("{:.0f}%", 100 * s.kept), times(s.ttft_reference, s.ttft_other)});
        }
    }
    for (const auto & [name, row] : rows) {
        table += row;
    }
    std::string note = fmt::format(
        "Means of the tasks' means, in points. PASS: the one-sided 95% lower bound of the difference is above -{0}; "
        "FAIL: the upper bound is below -{0}; else more examples are needed. The margin was fixed before the run. Only "
        "rows of one model, in one column, of one provenance may be compared; substitute and native data never with "
        "published scores.",
        r.margins.average);
    if (n_vacuous > 0) {
        note += fmt::format(" {} answers are left out: the plan skipped nothing in their prompts.", n_vacuous);
    }
    return section_of_page("Verdicts", note, table + "</table>\n");
}

std::string flags_of(const task_result & t) {
    std::string flags;
    const auto add = [&](const std::string & flag) {
        flags += flags.empty() ? "" : ", ";
        flags += flag;
    };
    if (t.uninformative) {
        add(t.reference < 50 ? "floor" : "ceiling");
    }
    if (t.long_tail > 0) {
        add(fmt::format("{:.0f}% long questions", 100 * t.long_tail));
    }
    if (std::max(t.tokens_reference, t.tokens_other) >= k_long_answer) {
        add(fmt::format("tokens answered {:.0f} &rarr; {:.0f}", t.tokens_reference, t.tokens_other));
    }
    if (t.not_found_other > 0 || t.not_found_reference > 0) {
        add(fmt::format("no answer {:.0f}% &rarr; {:.0f}%", 100 * t.not_found_reference, 100 * t.not_found_other));
    }
    return flags;
}

std::string task_table(const scored_arm & scored) {
    std::string table = "<table>\n" + cells({"task", "length", "data", "n", "dense", "arm's", "difference, 95%",
                                             "worse", "better", "p (Holm)", "gold NLL", ""},
                                            "th");
    for (const task_result & t : scored.tasks) {
        if (t.n == 0) {
            continue;
        }
        const std::string gold =
            t.n_gold > 0 ? fmt::format("{:.3f} &rarr; {:.3f}", t.gold_nll_reference, t.gold_nll_other) : "";
        table += cells({html_text(t.suite + "/" + t.task), html_number(static_cast<double>(t.length)), t.from,
                        std::to_string(t.n), points(t.reference), points(t.other), interval_text(t.difference, 1),
                        std::to_string(t.b), std::to_string(t.c), fmt::format("{:.3f}", t.p_holm), gold, flags_of(t)});
    }
    const bool open = scored.arm->role == arm_role::candidate;
    return fmt::format("<details{}><summary>{}: {}</summary>\n{}</table>\n</details>\n", open ? " open" : "",
                       html_text(scored.arm->name), html_text(scored.arm->label), table);
}

std::string tasks_section(const eval_report & r) {
    std::string body;
    for (const scored_arm & scored : r.arms) {
        if (!scored.tasks.empty()) {
            body += task_table(scored);
        }
    }
    std::string notes;
    for (const auto & [task, note] : r.notes) {
        notes += note.empty() ? "" : fmt::format(" {}: {}.", html_text(task), html_text(note));
    }
    return section_of_page(
        "Tasks",
        "Worse and better: examples whose score changed. Floor and ceiling: the dense score leaves no "
        "room to see a change. Long questions reach beyond the dense last rows." +
            notes,
        body);
}

std::string numbers_in_row(const std::vector<double> & values) {
    std::string row;
    for (const double value : values) {
        row += (row.empty() ? "" : ", ") + html_number(value);
    }
    return row;
}

std::string fidelity_section(const eval_report & r) {
    std::string table =
        "<table>\n" + cells({"length", "arm", "n", "first token KL", "same first", "following KL", "by quarters",
                             "flips", "sure flips", "perplexity", "verdicts", "time to first token"},
                            "th");
    for (const fidelity_result & f : r.fidelity) {
        const auto arm = std::find_if(r.settings.arms.begin(), r.settings.arms.end(),
                                      [&](const eval_arm & a) { return a.name == f.arm; });
        table +=
            cells({html_number(static_cast<double>(f.length)), arm_cell(*arm), std::to_string(f.n),
                   html_number(f.first_kl.mean), fmt::format("{:.0f}%", 100 * f.first_same),
                   html_number(f.following_kl.mean), numbers_in_row(f.following_kl_quarters),
                   fmt::format("{:.2f}% [{:.2f}, {:.2f}]", 100 * f.flips.mean, 100 * f.flips.low, 100 * f.flips.high),
                   fmt::format("{:.2f}%", 100 * f.confident_flips),
                   fmt::format("{:+.2f}% [{:+.2f}, {:+.2f}]", 100 * std::expm1(f.log_ratio.mean),
                               100 * std::expm1(f.log_ratio.low), 100 * std::expm1(f.log_ratio.high)),
                   fmt::format("ppl {}, flips {}", shown_verdict(f.perplexity_verdict), shown_verdict(f.flips_verdict)),
                   times(f.ttft_reference, f.ttft_other)});
    }
    return section_of_page(
        "Fidelity",
        fmt::format(
            "Distances to the dense arm behind documents that are cut anywhere. KL in nats; following: {} tokens "
            "that dense attention chose, forced, and each quarter of them in its order; flips: positions with another "
            "first choice, of those at which "
            "dense is sure beside them; perplexity of the document's next {} tokens against dense. Margins: {} of "
            "the perplexity, {} of the flips beyond the noise arm's.",
            r.settings.n_following, r.settings.n_document, r.margins.perplexity, r.margins.flips),
        table + "</table>\n");
}

// Suites whose examples say what they have in common, and areas under their scores.
std::string strata_section(const eval_report & r) {
    std::string table = "<table>\n" + cells({"of", "length", "arm", "n", "dense", "arm's", "difference, 95%"}, "th");
    for (const stratum_result & s : r.strata) {
        const std::string of = s.suite + (s.task.empty() ? "" : "/" + s.task) +
                               (s.is_area() ? ": area over " + s.by : fmt::format(": {} {}", s.by, s.value));
        table += cells({html_text(of), html_number(static_cast<double>(s.length)), html_text(s.arm),
                        std::to_string(s.n), points(s.reference), points(s.other), interval_text(s.difference, 1)});
    }
    return section_of_page(
        "Parts of the suites",
        "A group's score is the mean of its tasks' means. An area is that under the points over the "
        "operations of a problem, by the trapezoidal rule.",
        "<details><summary>by what examples have in common</summary>\n" + table + "</table>\n</details>\n");
}

std::string throughput_section(const eval_report & r) {
    std::string table = "<table>\n" + cells({"suite", "length", "arms", "answers", "prompt tokens", "tokens answered",
                                             "prefill alone", "all", "share"},
                                            "th");
    for (const throughput_result & t : r.throughput) {
        table += cells({html_text(t.suite), html_number(static_cast<double>(t.length)), std::to_string(t.n_arms),
                        std::to_string(t.n), fmt::format("{:.0f}", t.prompt_tokens),
                        fmt::format("{:.0f}", t.answer_tokens), fmt::format("{:.1f} s", t.prefill_seconds),
                        fmt::format("{:.1f} s", t.wall_seconds), fmt::format("{:.0f}%", 100 * t.prefill_share())});
    }
    return section_of_page(
        "Where the time went",
        "What prompts took, of all the time that the run took: answers, the making of examples and the "
        "files are in it.",
        table + "</table>\n");
}

std::string cut(const std::string & text) {
    return text.size() <= k_shown_bytes ? text : fmt::format("{} ...", text.substr(0, k_shown_bytes));
}

std::string discordant_section(const eval_report & r) {
    std::string body;
    for (const arm_pairs & pairs : r.pairs) {
        const std::vector<const answer_pair *> shown = discordant_answers(pairs, k_shown_discordant);
        if (shown.empty()) {
            continue;
        }
        body += fmt::format("<details><summary>{}</summary>\n<table>\n", html_text(pairs.arm->name)) +
                cells({"example", "right", "dense", "arm's"}, "th");
        for (const answer_pair * pair : shown) {
            std::string right;
            for (const std::string & output : pair->other.outputs) {
                right += right.empty() ? "" : "; ";
                right += output;
            }
            const auto answer = [](const prediction & p) {
                return fmt::format("<b>{:.0f}</b> {}", 100 * p.score.value, html_text(cut(p.answer.text)));
            };
            body += cells({html_text(fmt::format("{}/{} {} #{}", pair->other.suite, pair->other.task,
                                                 pair->other.length, pair->other.id)),
                           html_text(cut(right)), answer(pair->reference), answer(pair->other)});
        }
        body += "</table>\n</details>\n";
    }
    return section_of_page("Answers whose score changed", "Ten of each arm, drawn by lot, with both texts.", body);
}

}  // namespace

std::string report_html(const eval_report & r) {
    const std::string file = std::filesystem::path(r.settings.model_path).filename().string();
    std::string page = page_begin("Evaluation of " + file);
    page += "<h1>" + html_text(r.facts.name.empty() ? file : r.facts.name) + "</h1>\n<p class=\"note\">" +
            html_text(fmt::format("{}, {}; examples by seed {}", file, r.facts.file_type, r.settings.seed)) + "</p>\n";
    if (r.n_missing > 0) {
        page += fmt::format(
            "<p><b>{} records are missing</b>: the run is not finished, and what follows counts those on file; the "
            "same command, without --report-only, goes on.</p>\n",
            r.n_missing);
    }
    // A run of fidelity alone asks nothing.
    const bool asked =
        std::any_of(r.pairs.begin(), r.pairs.end(), [](const arm_pairs & p) { return !p.answers.empty(); });
    page += arms_section(r) + (asked ? suite_section(r) : "");
    if (!r.fidelity.empty()) {
        page += fidelity_section(r);
    }
    for (const report_drawing & drawing : eval_drawings(r)) {
        page += section_of_page(drawing.heading, drawing.note, drawing.svg);
    }
    page += asked ? tasks_section(r) : "";
    if (!r.strata.empty()) {
        page += strata_section(r);
    }
    page += asked ? discordant_section(r) : "";
    if (!r.throughput.empty()) {
        page += throughput_section(r);
    }
    page += how_made(r.how, r.settings.model_sha256);
    return page + page_end();
}

}  // namespace tmx
