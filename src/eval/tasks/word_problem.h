// eval/tasks/word_problem.h -- arithmetic in words: numbers of things in places, each told by one statement.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "measure/random_source.h"

namespace tmx {

// The statements that a question needs, which take exactly `n_operations` additions, subtractions and multiplications,
// and as many others as are asked for: these start from numbers of the problem, and never lead to the one asked for.
// Every number is 0 to 1000, and can be worked out.
class word_problem {
  public:
    word_problem(int64_t n_operations, random_source core, random_source noise);

    void add_noise();  // one statement more, behind all others

    const std::vector<std::string> & statements() const { return statements_; }
    size_t n_needed() const { return n_needed_; }
    const std::string & question() const { return question_; }
    int64_t answer() const { return answer_; }

  private:
    struct quantity {
        std::string name;  // "the number of foxes in Maple Creek"
        int64_t value = 0;
    };

    random_source core_, noise_;
    std::vector<uint64_t> unused_names_;
    std::vector<quantity> known_;
    std::vector<std::string> statements_;
    size_t n_needed_ = 0;
    std::string question_;
    int64_t answer_ = 0;

    std::string new_name(random_source & random);
    quantity draw_partner(random_source & random, bool with_constants);
    std::string stated_name(random_source & random, const quantity & one);
    int64_t try_step(random_source & random, const quantity & from, int64_t n_left, bool with_constants);
    int64_t add_step(random_source & random, const quantity & from, int64_t n_left, bool with_constants);
    void state(quantity made, const std::string & how);
};

}  // namespace tmx
