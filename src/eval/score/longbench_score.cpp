#include "eval/score/longbench_score.h"

#include <algorithm>

#include "eval/score/class_match.h"
#include "eval/score/number_share.h"
#include "eval/score/rouge_l.h"
#include "eval/score/word_f1.h"

namespace tmx {
namespace {

using metric = longbench_metric;

std::string_view first_line(std::string_view text) {
    text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
    return text.substr(0, text.find('\n'));
}

double score_of(metric m, std::string_view prediction, const std::string & answer,
                const std::vector<std::string> & classes, code_rule rule) {
    switch (m) {
        case metric::word_f1:
            return word_f1(prediction, answer);
        case metric::rouge_l:
            return rouge_l(prediction, answer).f;
        case metric::class_match:
            return class_match(prediction, answer, classes);
        case metric::number_share:
            return number_share(prediction, answer);
        case metric::paragraph_share:
            return number_share(prediction, paragraph_number(answer).value_or(""));
        case metric::code_similarity:
            return code_similarity(prediction, answer, rule);
    }
    return 0;
}

}  // namespace

const char * name_of(metric m) {
    switch (m) {
        case metric::word_f1:
            return "qa_f1";
        case metric::rouge_l:
            return "rouge_l";
        case metric::class_match:
            return "classification";
        case metric::number_share:
            return "count";
        case metric::paragraph_share:
            return "retrieval";
        case metric::code_similarity:
            return "code_sim";
    }
    return "";
}

const std::vector<longbench_dataset> & longbench_datasets() {
    static const std::vector<longbench_dataset> datasets = {
        {"qasper", "single-doc", metric::word_f1, true, true, false, false},
        {"multifieldqa_en", "single-doc", metric::word_f1, true, true, false, false},
        {"narrativeqa", "single-doc", metric::word_f1, false, true, false, false},
        {"hotpotqa", "multi-doc", metric::word_f1, true, true, false, false},
        {"2wikimqa", "multi-doc", metric::word_f1, true, true, false, false},
        {"musique", "multi-doc", metric::word_f1, false, true, false, false},
        {"gov_report", "summarisation", metric::rouge_l, true, true, false, false},
        {"multi_news", "summarisation", metric::rouge_l, true, true, false, false},
        {"qmsum", "summarisation", metric::rouge_l, false, true, false, false},
        {"trec", "few-shot", metric::class_match, true, false, true, false},
        {"triviaqa", "few-shot", metric::word_f1, true, false, true, false},
        {"samsum", "few-shot", metric::rouge_l, true, false, true, true},
        {"passage_count", "synthetic", metric::number_share, true, true, false, false},
        {"passage_retrieval_en", "synthetic", metric::paragraph_share, true, true, false, false},
        {"lcc", "code", metric::code_similarity, true, false, false, false},
        {"repobench-p", "code", metric::code_similarity, true, false, false, false},
    };
    return datasets;
}

const longbench_dataset * find_longbench_dataset(std::string_view name) {
    const auto & all = longbench_datasets();
    const auto found = std::find_if(all.begin(), all.end(), [&](const auto & one) { return one.name == name; });
    return found == all.end() ? nullptr : &*found;
}

std::string check_longbench_answers(metric m, const std::vector<std::string> & answers,
                                    const std::vector<std::string> & classes) {
    if (answers.empty()) {
        return "\"answers\" is empty";
    }
    if (m == metric::class_match && classes.empty()) {
        return "\"all_classes\" is empty, and the score needs the names of the classes";
    }
    for (const std::string & answer : answers) {
        if (m == metric::paragraph_share && !paragraph_number(answer)) {
            return "the answer \"" + answer + "\" names no paragraph; expected \"Paragraph 7\"";
        }
    }
    return "";
}

double longbench_score(const longbench_dataset & dataset, std::string_view prediction,
                       const std::vector<std::string> & answers, const std::vector<std::string> & classes,
                       code_rule rule) {
    const std::string_view read = dataset.first_line ? first_line(prediction) : prediction;
    double best = 0;
    for (const std::string & answer : answers) {
        best = std::max(best, score_of(dataset.metric, read, answer, classes, rule));
    }
    return best;
}

}  // namespace tmx
