#include "eval/tasks/made_people.h"

#include <fmt/core.h>

#include <utility>

#include "eval/tasks/example_random.h"

namespace tmx {
namespace {

constexpr const char * k_name_onsets[] = {"b", "br", "d", "dr", "f",  "g", "gl", "h", "k",  "kr", "l", "m",
                                          "n", "p",  "r", "s",  "st", "t", "th", "v", "vr", "w",  "z"};
constexpr const char * k_name_vowels[] = {"a", "e", "i", "o", "u", "ei", "au", "ia"};
constexpr const char * k_codas[] = {"", "", "n", "l", "r", "m", "s", "nd", "rk"};
constexpr const char * k_trades[] = {"bookbinder",   "surveyor",  "glassblower", "pharmacist", "organ builder",
                                     "cartographer", "locksmith", "weaver",      "astronomer", "clockmaker"};
constexpr const char * k_instruments[] = {"cello", "oboe", "harp", "viola", "bassoon", "zither", "flute", "horn"};
constexpr const char * k_remarks[] = {
    "Neighbours remembered a quiet person with a fondness for long walks.",
    "Most of the letters from those years were lost in a fire.",
    "A small exhibition in the town hall shows some of the tools.",
    "The house with the green shutters still stands beside the market.",
    "Nothing in the surviving papers explains why the work was given up.",
    "For a time the workshop was moved into an old mill.",
};

}  // namespace

std::string made_name(random_source & random, std::set<std::string> & taken, const char * ending) {
    return draw_new(taken, [&] {
        std::string name;
        for (uint64_t i = 2 + random.below(2); i > 0; --i) {
            name += random.one_of(k_name_onsets);
            name += random.one_of(k_name_vowels);
            name += random.one_of(k_codas);
        }
        name += ending;
        name[0] = static_cast<char>(name[0] - 'a' + 'A');
        return name;
    });
}

made_person draw_person(random_source & random, std::set<std::string> & taken, const std::string & family,
                        const std::string & teacher) {
    made_person p;
    p.given = made_name(random, taken, "");
    p.family = family.empty() ? made_name(random, taken, "en") : family;
    p.town = made_name(random, taken, "stad");
    p.trade = random.one_of(k_trades);
    p.year = std::to_string(1600 + random.below(300));
    p.teacher = teacher.empty() ? made_name(random, taken, "") + " " + made_name(random, taken, "en") : teacher;
    p.instrument = random.one_of(k_instruments);
    p.river = made_name(random, taken, "ach");
    return p;
}

std::string paragraph_about(const made_person & p, random_source & random) {
    std::vector<std::string> facts = {
        fmt::format("{} was born in {} in {}.", p.name(), p.town, p.year),
        fmt::format("{} learned from {}.", p.given, p.teacher),
        fmt::format("{} worked as a {} for most of a long life.", p.given, p.trade),
        fmt::format("The family's house stood beside the river {}.", p.river),
        fmt::format("In the evenings {} played the {}.", p.given, p.instrument),
    };
    for (const size_t i : shuffled_numbers(random, std::size(k_remarks))) {
        if (facts.size() >= 5 + random.below(4)) {
            break;
        }
        facts.emplace_back(k_remarks[i]);
    }
    // The birth comes first: it introduces the name.
    std::string text = facts.front();
    for (const size_t i : shuffled_numbers(random, facts.size() - 1)) {
        text += fmt::format(" {}", facts[i + 1]);
    }
    return text;
}

}  // namespace tmx
