// Reads RULER's prompts as a perfect reader would: by rules about the text, without code of src/eval.
#pragma once

#include <algorithm>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace tmx {

inline std::vector<std::string> all_matches(const std::string & text, const std::string & pattern, size_t group) {
    const std::regex rule(pattern);
    std::vector<std::string> found;
    for (std::sregex_iterator it(text.begin(), text.end(), rule), end; it != end; ++it) {
        found.push_back((*it)[group]);
    }
    return found;
}

inline std::string joined(const std::vector<std::string> & words) {
    std::string text;
    for (const std::string & word : words) {
        text += word + " ";
    }
    return text;
}

// Values of the keys that the question names.
inline std::string read_needles(const std::string & prompt) {
    const std::string question = prompt.substr(prompt.rfind('\n') + 1);
    std::string answer;
    const std::regex rule("special magic \\w+ for (\\S+) is: (\\S+)\\.");
    for (std::sregex_iterator it(prompt.begin(), prompt.end(), rule), end; it != end; ++it) {
        if (question.find((*it)[1].str() + " ") != std::string::npos ||
            question.find((*it)[1].str() + ",") != std::string::npos) {
            answer += (*it)[2].str() + " ";
        }
    }
    return answer;
}

inline std::string read_variables(const std::string & prompt) {
    const std::string value = all_matches(prompt, "assigned the value (\\d+)", 1).back();
    std::map<std::string, std::string> value_of;
    std::string answer;
    const std::regex rule("VAR (\\w+) = (?:VAR )?(\\w+)");
    for (std::sregex_iterator it(prompt.begin(), prompt.end(), rule), end; it != end; ++it) {
        const std::string from = (*it)[2];
        value_of[(*it)[1]] = value_of.contains(from) ? value_of[from] : from;
    }
    for (const auto & [name, is] : value_of) {
        answer += is == value ? name + " " : "";
    }
    return answer;
}

// The n most frequent of the words, without dots.
inline std::string most_frequent(const std::vector<std::string> & words, size_t n) {
    std::map<std::string, int> counts;
    for (const std::string & word : words) {
        counts[word] += word.find('.') == std::string::npos ? 1 : 0;
    }
    std::vector<std::pair<int, std::string>> order;
    for (const auto & [word, count] : counts) {
        order.emplace_back(-count, word);
    }
    std::sort(order.begin(), order.end());
    std::string answer;
    for (size_t i = 0; i < std::min(n, order.size()); ++i) {
        answer += order[i].second + " ";
    }
    return answer;
}

inline std::string read_common(const std::string & prompt) {
    // Behind the solved example, whose answer is a numbered list, too.
    const std::string list = prompt.substr(prompt.rfind("Below is"));
    return most_frequent(all_matches(list, "\\d+\\. (\\w+)", 1), 10);
}

inline std::string read_coded(const std::string & prompt) {
    const size_t begin = prompt.find('\n') + 1;
    std::istringstream text(prompt.substr(begin, prompt.rfind('\n') - begin));
    std::vector<std::string> words;
    for (std::string word; text >> word;) {
        words.push_back(word);
    }
    return most_frequent(words, 3);
}

inline std::string birthplace_of(const std::string & prompt, const std::string & name) {
    const std::vector<std::string> towns = all_matches(prompt, name + " was born in (\\w+) in", 1);
    return towns.empty() ? "" : towns.front();
}

inline std::string read_one_hop(const std::string & prompt) {
    return birthplace_of(prompt, all_matches(prompt, "which town was (\\w+ \\w+) born", 1).front());
}

inline std::string read_two_hops(const std::string & prompt) {
    const std::string pupil = all_matches(prompt, "teacher of (\\w+ \\w+) born", 1).front();
    const std::string given = pupil.substr(0, pupil.find(' '));
    const std::vector<std::string> teachers = all_matches(prompt, given + " learned from (\\w+ \\w+)\\.", 1);
    return teachers.empty() ? "" : birthplace_of(prompt, teachers.front());
}

inline std::string read_task(const std::string & task, const std::string & prompt) {
    return task == "vt"         ? read_variables(prompt)
           : task == "cwe"      ? read_common(prompt)
           : task == "fwe"      ? read_coded(prompt)
           : task == "qa_1_syn" ? read_one_hop(prompt)
           : task == "qa_2_syn" ? read_two_hops(prompt)
                                : read_needles(prompt);
}

}  // namespace tmx
