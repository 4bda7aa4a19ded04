// eval/tasks/made_people.h -- invented people and places, and what is said about them: nobody knows it by heart, so
// what is asked must be read.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "measure/random_source.h"

namespace tmx {

// A name of two or three syllables that is not in `taken`, which it then joins: "Velora", "Brundelstad".
std::string made_name(random_source & random, std::set<std::string> & taken, const char * ending);

struct made_person {
    std::string given;
    std::string family;
    std::string town;  // of birth
    std::string trade;
    std::string year;     // of birth
    std::string teacher;  // full name
    std::string instrument;
    std::string river;

    std::string name() const { return given + " " + family; }
};

// family: "" for a new one. Names of people, towns and rivers are all different, and join `taken`.
made_person draw_person(random_source & random, std::set<std::string> & taken, const std::string & family,
                        const std::string & teacher);

// Five to eight sentences that say at least where the person was born, who the teacher was, the trade and the river.
std::string paragraph_about(const made_person & p, random_source & random);

}  // namespace tmx
