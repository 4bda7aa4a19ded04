#include "eval/task_table.h"

#include "eval/official/aime.h"
#include "eval/official/gsm8k.h"
#include "eval/official/gsm_infinite_rows.h"
#include "eval/official/longbench.h"
#include "eval/official/longbench_v2.h"
#include "eval/official/ruler_rows.h"
#include "eval/tasks/frequent_words.h"
#include "eval/tasks/gsm_symbolic.h"
#include "eval/tasks/gsm_words.h"
#include "eval/tasks/made_questions.h"
#include "eval/tasks/needle_map.h"
#include "eval/tasks/niah.h"
#include "eval/tasks/recited_lines.h"
#include "eval/tasks/variable_tracking.h"
#include "runtime/failure.h"

namespace tmx {

const std::vector<task_row> & task_table() {
    static const std::vector<task_row> table = {
        {"ruler", "niah_single_1", open_niah},
        {"ruler", "niah_single_2", open_niah},
        {"ruler", "niah_single_3", open_niah},
        {"ruler", "niah_multikey_1", open_niah},
        {"ruler", "niah_multikey_2", open_niah},
        {"ruler", "niah_multikey_3", open_niah},
        {"ruler", "niah_multivalue", open_niah},
        {"ruler", "niah_multiquery", open_niah},
        {"ruler", "vt", open_variable_tracking},
        {"ruler", "cwe", open_common_words},
        {"ruler", "fwe", open_coded_words},
        {"ruler", "qa_1_syn", open_made_questions},
        {"ruler", "qa_2_syn", open_made_questions},
        {"needle", "noise", open_needle_map},
        {"needle", "essay", open_needle_map},
        {"needle", "lines", open_needle_map},
        {"gsm-infinite", "symbolic", open_gsm_symbolic},
        {"gsm-infinite", "gsm-inf-lite", open_gsm_words},
        {"long-answer", "recite", open_recited_lines},
        {"ruler-rows", "niah_single_1", open_ruler_rows},
        {"ruler-rows", "niah_single_2", open_ruler_rows},
        {"ruler-rows", "niah_single_3", open_ruler_rows},
        {"ruler-rows", "niah_multikey_1", open_ruler_rows},
        {"ruler-rows", "niah_multikey_2", open_ruler_rows},
        {"ruler-rows", "niah_multikey_3", open_ruler_rows},
        {"ruler-rows", "niah_multivalue", open_ruler_rows},
        {"ruler-rows", "niah_multiquery", open_ruler_rows},
        {"ruler-rows", "vt", open_ruler_rows},
        {"ruler-rows", "cwe", open_ruler_rows},
        {"ruler-rows", "fwe", open_ruler_rows},
        {"ruler-rows", "qa_1", open_ruler_rows},
        {"ruler-rows", "qa_2", open_ruler_rows},
        {"ruler-raw-rows", "niah_single_1", open_ruler_raw_rows},
        {"ruler-raw-rows", "niah_single_2", open_ruler_raw_rows},
        {"ruler-raw-rows", "niah_single_3", open_ruler_raw_rows},
        {"ruler-raw-rows", "niah_multikey_1", open_ruler_raw_rows},
        {"ruler-raw-rows", "niah_multikey_2", open_ruler_raw_rows},
        {"ruler-raw-rows", "niah_multikey_3", open_ruler_raw_rows},
        {"ruler-raw-rows", "niah_multivalue", open_ruler_raw_rows},
        {"ruler-raw-rows", "niah_multiquery", open_ruler_raw_rows},
        {"ruler-raw-rows", "vt", open_ruler_raw_rows},
        {"ruler-raw-rows", "cwe", open_ruler_raw_rows},
        {"ruler-raw-rows", "fwe", open_ruler_raw_rows},
        {"ruler-raw-rows", "qa_1", open_ruler_raw_rows},
        {"ruler-raw-rows", "qa_2", open_ruler_raw_rows},
        {"longbench-e", "qasper", open_longbench_e},
        {"longbench-e", "multifieldqa_en", open_longbench_e},
        {"longbench-e", "hotpotqa", open_longbench_e},
        {"longbench-e", "2wikimqa", open_longbench_e},
        {"longbench-e", "gov_report", open_longbench_e},
        {"longbench-e", "multi_news", open_longbench_e},
        {"longbench-e", "trec", open_longbench_e},
        {"longbench-e", "triviaqa", open_longbench_e},
        {"longbench-e", "samsum", open_longbench_e},
        {"longbench-e", "passage_count", open_longbench_e},
        {"longbench-e", "passage_retrieval_en", open_longbench_e},
        {"longbench-e", "lcc", open_longbench_e},
        {"longbench-e", "repobench-p", open_longbench_e},
        {"longbench", "qasper", open_longbench},
        {"longbench", "multifieldqa_en", open_longbench},
        {"longbench", "narrativeqa", open_longbench},
        {"longbench", "hotpotqa", open_longbench},
        {"longbench", "2wikimqa", open_longbench},
        {"longbench", "musique", open_longbench},
        {"longbench", "gov_report", open_longbench},
        {"longbench", "multi_news", open_longbench},
        {"longbench", "qmsum", open_longbench},
        {"longbench", "trec", open_longbench},
        {"longbench", "triviaqa", open_longbench},
        {"longbench", "samsum", open_longbench},
        {"longbench", "passage_count", open_longbench},
        {"longbench", "passage_retrieval_en", open_longbench},
        {"longbench", "lcc", open_longbench},
        {"longbench", "repobench-p", open_longbench},
        {"longbench-v2", "v2", open_longbench_v2},
        {"longbench-v2", "v2_logit", open_longbench_v2},
        {"gsm-infinite-rows", "symbolic_0", open_gsm_infinite_rows},
        {"gsm-infinite-rows", "symbolic_8k", open_gsm_infinite_rows},
        {"gsm-infinite-rows", "symbolic_16k", open_gsm_infinite_rows},
        {"gsm-infinite-rows", "symbolic_32k", open_gsm_infinite_rows},
        {"gsm-infinite-rows", "medium_0", open_gsm_infinite_rows},
        {"gsm-infinite-rows", "medium_8k", open_gsm_infinite_rows},
        {"gsm-infinite-rows", "medium_16k", open_gsm_infinite_rows},
        {"gsm-infinite-rows", "medium_32k", open_gsm_infinite_rows},
        {"gsm-infinite-rows", "hard_0", open_gsm_infinite_rows},
        {"gsm-infinite-rows", "hard_8k", open_gsm_infinite_rows},
        {"gsm-infinite-rows", "hard_16k", open_gsm_infinite_rows},
        {"gsm-infinite-rows", "hard_32k", open_gsm_infinite_rows},
        {"gsm8k", "8_shot", open_gsm8k},
        {"gsm8k", "long", open_gsm8k},
        {"aime24", "plain", open_aime},
        {"aime24", "long", open_aime},
    };
    return table;
}

std::vector<const task_row *> find_tasks(const std::string & reference) {
    const size_t slash = reference.find('/');
    const std::string suite = reference.substr(0, slash);
    std::vector<const task_row *> found;
    std::string known;
    for (const task_row & row : task_table()) {
        const bool named = slash == std::string::npos || reference.substr(slash + 1) == row.name;
        if (suite == row.suite && named) {
            found.push_back(&row);
        }
        // Of the suite that is named its tasks, else the suites.
        const std::string name = suite == row.suite ? suite + "/" + row.name : row.suite;
        if (known.find(name + ",") == std::string::npos) {
            known += name + ", ";
        }
    }
    if (found.empty()) {
        throw failure("no task or suite of tasks is called " + reference + "; there are " + known + "and fidelity");
    }
    return found;
}

}  // namespace tmx
