#include "eval/tasks/recited_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "eval/tasks/blank_example.h"
#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"
#include "eval/tasks/haystack.h"

namespace tmx {
namespace {

constexpr int64_t k_least_tokens = 1000;  // of an answer

std::vector<std::string> lines_of(const std::string & text) {
    std::vector<std::string> lines;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find('\n', at), text.size());
        const std::string line = text.substr(at, end - at);
        const size_t first = line.find_first_not_of(" \r");
        if (first != std::string::npos) {
            lines.push_back(line.substr(first, line.find_last_not_of(" \r") + 1 - first));
        }
        at = end + 1;
    }
    return lines;
}

class recited_lines : public eval_task {
  public:
    explicit recited_lines(const eval_sources & sources)
        : words_(sources, haystack::needles, value_kind::word, value_kind::number) {
        facts_.suite = "long-answer";
        facts_.name = "recite";
        facts_.binary = false;
        facts_.revision = 1;
        facts_.note = fmt::format("the share of the lines that are there; answers of {} tokens", k_least_tokens);
    }

    const task_facts & facts() const override { return facts_; }
    eval_example make(const example_request & request) const override;
    task_score score(const eval_example & e, const std::string & answer) const override;

  private:
    task_facts facts_;
    haystack_maker words_;
};

eval_example recited_lines::make(const example_request & request) const {
    random_source fill = example_random(request, facts_.name, "fill");
    const double place = example_random(request, facts_.name, "place").unit();
    std::set<std::string> taken;
    std::vector<std::string> names;
    std::vector<std::string> list;
    std::vector<int64_t> sizes;  // tokens of each line
    const auto add_line = [&] {
        names.push_back(draw_new(taken, [&] { return words_.draw_key(fill); }));
        list.push_back(fmt::format("{}: {}", names.back(), words_.draw_value(fill)));
        sizes.push_back(static_cast<int64_t>(request.tokens.tokenise(list.back() + "\n").size()));
        return sizes.back();
    };
    for (int64_t n_tokens = 0; n_tokens < 2 * k_least_tokens;) {
        n_tokens += add_line();
    }
    const auto least = static_cast<int64_t>(list.size());
    const auto build = [&](int64_t n_lines) {
        while (static_cast<int64_t>(list.size()) < n_lines) {
            add_line();
        }
        // From some line on as many as make a long answer, the last ones at the latest.
        const auto n = static_cast<size_t>(n_lines);
        auto first = static_cast<size_t>(place * static_cast<double>(n));
        auto end = first;
        int64_t n_answer = 0;
        while (n_answer < k_least_tokens && end - first < n) {
            n_answer += end < n ? sizes[end++] : sizes[--first];
        }
        eval_example e = blank_example(facts_, request);
        e.outputs.assign(list.begin() + static_cast<std::ptrdiff_t>(first),
                         list.begin() + static_cast<std::ptrdiff_t>(end));
        e.gold = fmt::format("{}", fmt::join(e.outputs, "\n"));
        e.max_new_tokens = n_answer + n_answer / 16;
        std::string before = "Below is a list of names with their numbers.\n\n";
        for (size_t i = 0; i < n; ++i) {
            before += list[i] + "\n";
        }
        e.turns = {
            {"user",
             before +
                 fmt::format("\nRepeat the part of this list that begins with the line of {} and ends with the line "
                             "of {}, each line exactly as it stands there and in the same order. Write nothing "
                             "else.",
                             names[first], names[end - 1])}};
        e.question_at = before.size();
        return e;
    };
    return fit_units(request, {least, 0, 18}, build);
}

task_score recited_lines::score(const eval_example & e, const std::string & answer) const {
    const std::vector<std::string> said = lines_of(answer);
    size_t n_there = 0;
    for (const std::string & line : e.outputs) {
        n_there += std::find(said.begin(), said.end(), line) != said.end() ? 1 : 0;
    }
    const auto wrong = std::mismatch(e.outputs.begin(), e.outputs.end(), said.begin(), said.end()).first;
    return {static_cast<double>(n_there) / static_cast<double>(e.outputs.size()), !said.empty(),
            fmt::format("{} of {} lines, {} before the first wrong one", n_there, e.outputs.size(),
                        wrong - e.outputs.begin())};
}

}  // namespace

std::unique_ptr<eval_task> open_recited_lines(const eval_sources & sources, const char *) {
    return std::make_unique<recited_lines>(sources);
}

}  // namespace tmx
