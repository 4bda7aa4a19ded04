// eval/tasks/ruler_task.h -- what RULER's 13 tasks have in common: their metrics, and how facts about a task are filled
// in. Construction and metrics after RULER (Hsieh et al., arXiv 2404.06654); the wording of prompts is ours.
#pragma once

#include <string>

#include "eval/task.h"

namespace tmx {

enum class ruler_metric : uint8_t {
    all,   // the share of the right answers that the text contains
    part,  // whether it contains one of them
};

// Case does not matter; nothing else is normalised but control characters, which count as line ends.
double ruler_match(ruler_metric metric, const std::vector<std::string> & outputs, const std::string & answer);

class ruler_task : public eval_task {
  public:
    ruler_task(std::string name, provenance from, int64_t max_new_tokens, ruler_metric metric, std::string note);

    const task_facts & facts() const override { return facts_; }
    task_score score(const eval_example & e, const std::string & answer) const override;

  protected:
    // An example of this task without texts.
    eval_example blank(const example_request & request) const;

    // One user turn: what stands before the context, the context, and the question behind it.
    static void set_turn(eval_example & e, const std::string & before, const std::string & context,
                         const std::string & question);

  private:
    task_facts facts_;
    int64_t max_new_tokens_;
    ruler_metric metric_;
};

// "a, b, c, and d"
std::string joined_list(const std::vector<std::string> & items);

}  // namespace tmx
