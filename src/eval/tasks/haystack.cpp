#include "eval/tasks/haystack.h"

#include <fmt/core.h>

#include <algorithm>
#include <string_view>

#include "eval/tasks/example_random.h"
#include "eval/tasks/sentences.h"
#include "runtime/failure.h"

namespace tmx {

const char * const k_noise_line =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

const char * word_for(value_kind kind) {
    return kind == value_kind::number ? "number" : kind == value_kind::uuid ? "uuid" : "word";
}

std::string needle::sentence() const {
    return fmt::format("One of the special magic {}s for {} is: {}.", word_for(kind), key, value);
}

haystack_maker::haystack_maker(const eval_sources & sources, haystack kind, value_kind key, value_kind value)
    : sources_(sources), kind_(kind), key_(key), value_(value) {
    if (sources.adjectives.empty() || sources.nouns.empty()) {
        throw failure("needles need lists of adjectives and nouns, and the word source has none");
    }
    if (kind != haystack::essay) {
        return;
    }
    if (sources.essay.empty()) {
        throw failure("needles in an essay need a text, and there is none");
    }
    for (size_t at = sources.essay.find(' '); at != std::string::npos; at = sources.essay.find(' ', at + 1)) {
        word_ends_.push_back(at);
    }
    word_ends_.push_back(sources.essay.size());
}

std::string haystack_maker::draw(value_kind kind, random_source & random) const {
    switch (kind) {
        case value_kind::number:
            return std::to_string(1'000'000 + random.below(9'000'000));
        case value_kind::uuid:
            return random_uuid(random);
        case value_kind::word:
            break;
    }
    const std::string & adjective = sources_.adjectives[random.below(sources_.adjectives.size())];
    return adjective + "-" + sources_.nouns[random.below(sources_.nouns.size())];
}

std::string haystack_maker::essay_words(size_t n) const {
    std::string text;
    for (; n > word_ends_.size(); n -= word_ends_.size()) {
        text += sources_.essay + " ";
    }
    return n > 0 ? text + sources_.essay.substr(0, word_ends_[n - 1]) : text;
}

std::vector<std::string> haystack_maker::pieces(int64_t units, random_source fill, std::set<std::string> taken) const {
    const auto n = static_cast<size_t>(units);
    std::vector<std::string> made;
    switch (kind_) {
        case haystack::noise:
            made.assign(n, k_noise_line);
            break;
        case haystack::essay: {
            const std::string text = essay_words(n);
            for (const std::string_view sentence : split_sentences(text)) {
                made.emplace_back(sentence);
            }
            break;
        }
        case haystack::needles:
            for (size_t i = 0; i < n; ++i) {
                const std::string key = draw_new(taken, [&] { return draw_key(fill); });
                made.push_back(needle{key, draw_value(fill), value_}.sentence());
            }
    }
    return made;
}

double haystack_maker::tokens_per_unit() const {
    switch (kind_) {
        case haystack::noise:
            return 25;
        case haystack::essay:
            return 1.4;
        case haystack::needles:
            break;
    }
    return key_ == value_kind::uuid ? 75 : 24;
}

std::string hide_needles(const std::vector<std::string> & pieces, const std::vector<needle> & needles,
                         const std::vector<size_t> & before_piece, const char * glue, std::vector<double> & depths) {
    std::vector<size_t> order(needles.size());
    for (size_t i = 0; i < order.size(); ++i) {
        order[i] = i;
    }
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return before_piece[a] < before_piece[b]; });
    std::string text;
    depths.assign(needles.size(), 0);
    const auto add = [&](const std::string & piece) {
        text += text.empty() ? "" : glue;
        text += piece;
    };
    size_t next = 0;
    for (size_t i = 0; i <= pieces.size(); ++i) {
        for (; next < order.size() && before_piece[order[next]] == i; ++next) {
            depths[order[next]] = static_cast<double>(text.size());
            add(needles[order[next]].sentence());
        }
        if (i < pieces.size()) {
            add(pieces[i]);
        }
    }
    for (double & depth : depths) {
        depth /= static_cast<double>(text.size());
    }
    return text;
}

}  // namespace tmx
