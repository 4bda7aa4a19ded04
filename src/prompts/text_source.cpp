#include "prompts/text_source.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

namespace tmx {
namespace {

constexpr const char * k_first_names[] = {"Maria",  "Jonas", "Amina", "Pavel", "Ingrid", "Tomas", "Leila",  "Henrik",
                                          "Chiara", "Diego", "Noor",  "Wanda", "Kofi",   "Elsa",  "Rashid", "Yuki"};
constexpr const char * k_last_names[] = {"Lopez",  "Lindholm", "Okafor",  "Novak",  "Haugen", "Berger",
                                         "Farouk", "Nyberg",   "Moretti", "Castro", "Rahman", "Kowal",
                                         "Mensah", "Wagner",   "Haddad",  "Tanaka"};
constexpr const char * k_trades[] = {"surveyor",     "clockmaker", "botanist", "translator", "lighthouse keeper",
                                     "cartographer", "violinist",  "printer",  "beekeeper",  "engineer"};
constexpr const char * k_cities[] = {"Lisbon", "Oslo",  "Quito",  "Hanoi", "Tunis", "Riga",
                                     "Lima",   "Kyoto", "Gdansk", "Izmir", "Cork",  "Split"};
constexpr const char * k_things[] = {"lanterns", "seashells", "postcards", "fossils", "keys",    "compasses",
                                     "coins",    "feathers",  "maps",      "bottles", "letters", "ribbons"};
constexpr const char * k_fillers[] = {
    "The winters were long that decade, and the river below the old bridge froze twice before the new year.",
    "Neighbours remembered the sound of the workshop, which opened before sunrise and closed when the trams stopped.",
    "Nobody in the family had expected it, but the letters that survive speak of little else.",
    "A small museum shows some of the tools today, beside a photograph whose date is disputed.",
    "Prices had doubled within a year, so most of the equipment was borrowed from the harbour office.",
    "According to the parish records the house was sold, rebuilt, and sold again within eleven years.",
    "Two of the notebooks were lost in a flood; the third was found behind a shelf of almanacs.",
    "The newspapers of the time mention the matter only in passing, between shipping lists and the weather.",
    "When the railway came, the road through the valley was given up, and with it the inn at the crossing.",
    "Visitors were asked to leave their boots at the door, a rule that outlived its reason.",
    "It was said that the best maps were drawn from memory, though few people could have checked.",
    "Later accounts disagree about the order of these events, and the earliest one gives no dates at all.",
};

// Splits at blanks, which stay behind their word.
void append_words(const std::string & text, std::vector<std::string> & words) {
    for (size_t at = 0; at < text.size();) {
        const size_t gap = std::min(text.find_first_of(" \n\t", at), text.size());
        const size_t next = std::min(text.find_first_not_of(" \n\t\f\r", gap), text.size());
        words.push_back(text.substr(at, next - at));
        at = next;
    }
}

struct person {
    std::string name;
    std::string trade;
    std::string city;
    std::string thing;
    std::string count;
    std::string year;
};

person make_person(random_source & random, int64_t number) {
    // A middle initial and a number tell many people of the same names apart.
    const auto initial = static_cast<char>('A' + number % 26);
    const char * first = random.one_of(k_first_names);
    const char * last = random.one_of(k_last_names);
    const std::string name = number < 26 ? fmt::format("{} {}. {}", first, initial, last)
                                         : fmt::format("{} {}. {} {}", first, initial, last, number / 26 + 1);
    return {name,
            random.one_of(k_trades),
            random.one_of(k_cities),
            random.one_of(k_things),
            std::to_string(100 + random.below(900)),
            std::to_string(1700 + random.below(250))};
}

}  // namespace

std::string document::join(int64_t begin, int64_t end) const {
    std::string text;
    for (int64_t i = begin; i < end; ++i) {
        text += words[static_cast<size_t>(i) % words.size()];
    }
    return text;
}

document make_prose(uint64_t seed, int64_t n_words) {
    random_source random(seed);
    document made;
    for (int64_t number = 0; static_cast<int64_t>(made.words.size()) < n_words; ++number) {
        const person p = make_person(random, number);
        std::string text = fmt::format("{} was a {} who came to {} in {}. ", p.name, p.trade, p.city, p.year);
        for (uint64_t i = 1 + random.below(3); i > 0; --i) {
            text += fmt::format("{} ", random.one_of(k_fillers));
        }
        text += fmt::format("In the end {} had collected {} {}, more than anybody else in {}. ", p.name, p.count,
                            p.thing, p.city);
        text += fmt::format("{}\n\n", random.one_of(k_fillers));
        append_words(text, made.words);
        const auto end = static_cast<int64_t>(made.words.size());
        if (random.below(2) == 0) {
            made.facts.push_back({end, fmt::format("How many {} did {} collect?", p.thing, p.name),
                                  fmt::format("In the end {} had collected", p.name), p.count});
        } else {
            made.facts.push_back({end, fmt::format("To which city did the {} {} come?", p.trade, p.name),
                                  fmt::format("{} was a {} who came to", p.name, p.trade), p.city});
        }
    }
    return made;
}

document shuffle_texts(uint64_t seed, const std::vector<std::string> & texts) {
    random_source random(seed);
    std::vector<const std::string *> order;
    order.reserve(texts.size());
    for (const std::string & text : texts) {
        order.push_back(&text);
    }
    for (size_t i = order.size(); i > 1; --i) {
        std::swap(order[i - 1], order[random.below(i)]);
    }
    std::string all;
    for (const std::string * text : order) {
        all += *text + "\n\n";
    }
    // From the beginning of a paragraph, so that the document does not open in the middle of a sentence.
    const size_t start = all.find("\n\n", random.below(all.size()));
    if (start != std::string::npos) {
        std::rotate(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(start) + 2, all.end());
    }
    document result;
    append_words(all, result.words);
    return result;
}

}  // namespace tmx
