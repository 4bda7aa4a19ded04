#include "eval/tasks/made_questions.h"

#include <fmt/core.h>

#include <set>
#include <string_view>

#include "eval/tasks/example_random.h"
#include "eval/tasks/fit_budget.h"
#include "eval/tasks/made_people.h"
#include "eval/tasks/ruler_task.h"

namespace tmx {
namespace {

constexpr const char * k_instruction =
    "Answer the question from the given documents. Give the answer alone, without any other words.";

// A question, and the paragraphs that must be there whatever the length.
struct question_case {
    std::string question;
    std::string answer;
    std::vector<std::string> paragraphs;  // those that answer it come first
    size_t n_gold = 1;
};

// The paragraph that answers, and four about others of the same family.
question_case one_hop(random_source & random, std::set<std::string> & taken) {
    const made_person asked = draw_person(random, taken, "", "");
    question_case made;
    made.question = fmt::format("In which town was {} born?", asked.name());
    made.answer = asked.town;
    made.paragraphs.push_back(paragraph_about(asked, random));
    for (int i = 0; i < 4; ++i) {
        made.paragraphs.push_back(paragraph_about(draw_person(random, taken, asked.family, ""), random));
    }
    return made;
}

// The pupil's paragraph names the teacher, the teacher's names the town. Beside them four more pairs of the same kind.
question_case two_hops(random_source & random, std::set<std::string> & taken) {
    question_case made;
    made.n_gold = 2;
    for (int i = 0; i < 5; ++i) {
        const made_person teacher = draw_person(random, taken, "", "");
        const made_person pupil = draw_person(random, taken, "", teacher.name());
        made.paragraphs.push_back(fmt::format("{}\n{}", pupil.name(), paragraph_about(pupil, random)));
        made.paragraphs.push_back(fmt::format("{}\n{}", teacher.name(), paragraph_about(teacher, random)));
        if (i == 0) {
            made.question = fmt::format("In which town was the teacher of {} born?", pupil.name());
            made.answer = teacher.town;
        }
    }
    return made;
}

class made_questions : public ruler_task {
  public:
    made_questions(const char * name, bool two)
        : ruler_task(name, provenance::substitute, 32, ruler_metric::part,
                     two ? "in place of HotpotQA: two hops through invented people"
                         : "in place of SQuAD: one hop to invented people"),
          name_(name),
          two_(two) {}

    eval_example make(const example_request & request) const override {
        random_source random = example_random(request, name_, "case");
        std::set<std::string> taken;
        const question_case asked = two_ ? two_hops(random, taken) : one_hop(random, taken);
        const auto least = static_cast<int64_t>(asked.paragraphs.size());
        return fit_units(request, {least, 0, 100}, [&](int64_t n_documents) {
            std::vector<std::string> documents = asked.paragraphs;
            random_source fill = example_random(request, name_, "fill");
            std::set<std::string> names = taken;
            while (static_cast<int64_t>(documents.size()) < n_documents) {
                const made_person p = draw_person(fill, names, "", "");
                const std::string text = paragraph_about(p, fill);
                documents.push_back(two_ ? fmt::format("{}\n{}", p.name(), text) : text);
            }
            random_source order = order_random(request, name_, "order");
            std::string context;
            int64_t number = 0;
            eval_example e = blank(request);
            for (const size_t i : shuffled_numbers(order, documents.size())) {
                context += fmt::format("Document {}:\n{}\n\n", ++number, documents[i]);
                if (i < asked.n_gold) {
                    std::string & depth = e.meta["depth"];
                    depth += fmt::format("{}{:.3f}", depth.empty() ? "" : " ",
                                         static_cast<double>(number - 1) / static_cast<double>(documents.size()));
                }
            }
            set_turn(e, fmt::format("{}\n\n", k_instruction), context,
                     fmt::format("{}\n\nQuestion: {}", k_instruction, asked.question));
            e.answer_prefix = "Answer:";
            e.outputs = {asked.answer};
            e.gold = fmt::format(" {}", asked.answer);
            return e;
        });
    }

  private:
    const char * name_;
    bool two_;
};

}  // namespace

std::unique_ptr<eval_task> open_made_questions(const eval_sources &, const char * name) {
    return std::make_unique<made_questions>(name, std::string_view(name) == "qa_2_syn");
}

}  // namespace tmx
