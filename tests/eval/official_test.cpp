// Official suites' files: rows in their formats become the right examples, and what is wrong with a file is said.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "data_folder.h"
#include "eval/official/cut_middle.h"
#include "eval/official/fill_template.h"
#include "eval/run/task_stage.h"
#include "word_tokenizer.h"

namespace tmx::test {
namespace {

const word_tokenizer k_tokens;

example_request nth(int64_t index, int64_t budget = 0) {
    return {budget, index, 7, false, k_tokens};
}

std::string words(size_t n, const std::string & stem) {
    std::string text;
    for (size_t i = 0; i < n; ++i) {
        text += (i > 0 ? " " : "") + stem;
        for (size_t j = i; j > 0; j /= 26) {
            text += static_cast<char>('a' + j % 26);
        }
    }
    return text;
}

TEST(CutMiddle, KeepsHalfOfTheTokensAtEachEnd) {
    eval_example e;
    e.turns = {{"user", "aa ab ac ad ae af ag ah ai aj ak al am an"}};
    e.question_at = e.turns[0].text.size() - 6;
    cut_middle(e, 9, nth(0));  // BOS and 14 words; 9 / 2 is 4, BOS one of them
    EXPECT_EQ(e.turns[0].text, "aa ab ac ak al am an");
    EXPECT_EQ(e.turns[0].text.substr(e.question_at), " am an");
    EXPECT_EQ(e.meta["cut"], "yes");
}

TEST(CutMiddle, LeavesWhatFits) {
    eval_example e;
    e.turns = {{"user", "aa ab ac"}};
    cut_middle(e, 4, nth(0));
    EXPECT_EQ(e.turns[0].text, "aa ab ac");
    EXPECT_EQ(e.meta.count("cut"), 0U);
}

TEST(CutMiddle, PromptAndAnswerStayWithinTheWindow) {
    for (const int64_t budget : {int64_t{60}, int64_t{61}, int64_t{200}}) {
        eval_example e;
        e.turns = {{"user", words(400, "x")}};
        e.max_new_tokens = 30;
        cut_middle(e, -1, nth(0, budget));
        const int64_t n = k_tokens.count_prompt(e) + 30;
        EXPECT_LE(n, budget);
        EXPECT_GE(n, budget - 4);
    }
    eval_example e;
    e.turns = {{"user", words(400, "x")}};
    e.max_new_tokens = 30;
    EXPECT_THROW(cut_middle(e, -1, nth(0, 36)), failure);
}

TEST(FillTemplate, BracesAsPythonReadsThem) {
    const filled_text filled = fill_braces("a {context} {{b}} {input}", {{"context", "{input}"}, {"input", "q"}});
    EXPECT_EQ(filled.text, "a {input} {b} q");
    EXPECT_EQ(filled.behind_context, 9U);
    EXPECT_THROW(fill_braces("{other}", {{"context", ""}}), failure);
    EXPECT_THROW(fill_braces("{context", {{"context", ""}}), failure);
    EXPECT_THROW(fill_braces("a } b", {{"context", ""}}), failure);
}

TEST(FillTemplate, MarkersOneAfterTheOther) {
    bool expanded = false;
    const filled_text filled = replace_markers("$DOC$|$Q$", {{"$DOC$", "d"}, {"$Q$", "q"}}, expanded);
    EXPECT_EQ(filled.text, "d|q");
    EXPECT_EQ(filled.behind_context, 1U);
    EXPECT_FALSE(expanded);
    EXPECT_EQ(replace_markers("$DOC$|$Q$", {{"$DOC$", "x$Q$"}, {"$Q$", "q"}}, expanded).text, "xq|q");
    EXPECT_TRUE(expanded);
    EXPECT_THROW(replace_markers("$DOC$", {{"$DOC$", ""}, {"$Q$", ""}}, expanded), failure);
}

void write_longbench(const data_folder & data, const std::string & name, const std::string & rows) {
    data.write("longbench/config/dataset2prompt.json",
               "{\"" + name + "\": \"Read this.\\n{context}\\nAsked: {input}\\nAnswer:\"}");
    data.write("longbench/config/dataset2maxlen.json", "{\"" + name + "\": 32}");
    data.write("longbench/data/" + name + "_e.jsonl", rows);
}

std::string longbench_row(const std::string & context, const std::string & rest) {
    return R"({"context": ")" + context + R"(", "input": "Who?", "length": 4000, "language": "en", "_id": "x", )" +
           rest + "}\n";
}

TEST(LongBench, RowsBecomeExamples) {
    const data_folder data;
    const std::string rest = R"("answers": ["Ann Lee", "Ann"], "all_classes": null)";
    write_longbench(data, "hotpotqa",
                    longbench_row("A text.", rest) + longbench_row("A text.", rest) + longbench_row("More.", rest));
    const auto task = data.open("longbench-e/hotpotqa");
    EXPECT_EQ(task->facts().n_examples, 3);
    EXPECT_EQ(task->facts().from, provenance::official);
    EXPECT_FALSE(task->facts().budgeted);
    const eval_example e = task->make(nth(0));
    EXPECT_EQ(e.turns.at(0).text, "Read this.\nA text.\nAsked: Who?\nAnswer:");
    EXPECT_EQ(e.turns[0].text.substr(e.question_at), "\nAsked: Who?\nAnswer:");
    EXPECT_TRUE(e.chat_template);
    EXPECT_EQ(e.max_new_tokens, 32);
    EXPECT_EQ(e.gold, "Ann Lee");
    EXPECT_EQ(e.meta.at("bucket"), "4-8k");
    EXPECT_EQ(e.cluster, task->make(nth(1)).cluster);
    EXPECT_NE(e.cluster, task->make(nth(2)).cluster);
    EXPECT_EQ(task->score(e, "the Ann!").value, 1);
    EXPECT_NEAR(task->score(e, "Ann Lee or Bob Fox").value, 4.0 / 7, 1e-12);
}

TEST(LongBench, FewShotTasksAreRawTextAndEndAtALine) {
    const data_folder data;
    write_longbench(data, "samsum", longbench_row("Chats.", R"("answers": ["They met."])"));
    const eval_example e = data.open("longbench-e/samsum")->make(nth(0));
    EXPECT_FALSE(e.chat_template);
    EXPECT_EQ(e.stops, std::vector<std::string>{"\n"});
    EXPECT_EQ(e.min_new_tokens, 1);
}

TEST(LongBench, ALongPromptLosesItsMiddle) {
    const data_folder data;
    write_longbench(data, "qasper", longbench_row(words(500, "x"), R"("answers": ["y"])"));
    const eval_example e = data.open("longbench-e/qasper")->make(nth(0, 200));
    EXPECT_EQ(e.meta.at("cut"), "yes");
    EXPECT_EQ(e.turns[0].text.substr(0, 10), "Read this.");
    EXPECT_EQ(e.turns[0].text.substr(e.question_at), "\nAsked: Who?\nAnswer:");
    EXPECT_LE(k_tokens.count_prompt(e) + e.max_new_tokens, 200);
}

TEST(LongBench, RefusesWithoutConfigFilesAndNamesWhatIsWrong) {
    const data_folder data;
    const std::string good = longbench_row("A.", R"("answers": ["y"])");
    EXPECT_TRUE(holds(data.refusal("longbench-e/trec"), "dataset2prompt.json"));
    write_longbench(data, "trec", longbench_row("A.", R"("answers": ["y"], "all_classes": ["y", "z"])") + good);
    EXPECT_TRUE(holds(data.refusal("longbench-e/trec"), "trec_e.jsonl, line 2: \"all_classes\" is empty"));
    write_longbench(data, "lcc", good + "{\"context\": \n");
    EXPECT_TRUE(holds(data.refusal("longbench-e/lcc"), "lcc_e.jsonl, line 2: "));
    write_longbench(data, "lcc", good + R"({"context": "A.", "input": 3})");
    EXPECT_TRUE(holds(data.refusal("longbench-e/lcc"), "line 2: \"input\" is no text"));
    write_longbench(data, "lcc", "\n");
    EXPECT_TRUE(holds(data.refusal("longbench-e/lcc"), "has no rows"));
    EXPECT_TRUE(holds(data.refusal("longbench-e/triviaqa"), "says nothing of triviaqa"));
    data.write("longbench/config/dataset2prompt.json", R"({"lcc": "{context}{question}"})");
    data.write("longbench/data/lcc_e.jsonl", good);
    EXPECT_TRUE(holds(data.refusal("longbench-e/lcc"), "asks for {question}"));
}

constexpr const char * k_v2_row =
    R"({"_id": "a1", "domain": "Code", "sub_domain": "x", "difficulty": "hard", "length": "short", "question": " Which? ",
        "choice_A": "one", "choice_B": "two", "choice_C": "three", "choice_D": "four", "answer": "C",
        "context": "\n The text.\n"})";

TEST(LongBenchV2, RowsBecomeExamples) {
    const data_folder data;
    data.write("longbench_v2/prompts/0shot.txt", "<t>\n$DOC$\n</t>\n$Q$\n(A) $C_A$\n(B) $C_B$\n(C) $C_C$\n(D) $C_D$\n");
    data.write("longbench_v2/data.json", std::string("[") + k_v2_row + ",\n" + k_v2_row + "]");
    const auto task = data.open("longbench-v2/v2");
    EXPECT_EQ(task->facts().n_examples, 2);
    const eval_example e = task->make(nth(1));
    EXPECT_EQ(e.turns.at(0).text, "<t>\nThe text.\n</t>\nWhich?\n(A) one\n(B) two\n(C) three\n(D) four\n");
    EXPECT_EQ(e.turns[0].text.substr(e.question_at, 12), "\n</t>\nWhich?");
    EXPECT_EQ(e.meta.at("difficulty"), "hard");
    EXPECT_EQ(task->score(e, "**The correct answer is (C)**").value, 1);
    EXPECT_EQ(task->score(e, "The correct answer is (A)").value, 0);
    EXPECT_FALSE(task->score(e, "C").found);

    const auto by_likelihood = data.open("longbench-v2/v2_logit");
    const eval_example forced = by_likelihood->make(nth(0));
    EXPECT_EQ(forced.choices.size(), 4U);
    EXPECT_EQ(by_likelihood->score(forced, forced.choices[2]).value, 1);
    EXPECT_EQ(by_likelihood->score(forced, forced.choices[0]).value, 0);
}

TEST(LongBenchV2, RefusesWrongFiles) {
    const data_folder data;
    EXPECT_TRUE(holds(data.refusal("longbench-v2/v2"), "0shot.txt"));
    data.write("longbench_v2/prompts/0shot.txt", "$DOC$ $Q$ $C_A$ $C_B$ $C_C$");
    data.write("longbench_v2/data.json", std::string("[") + k_v2_row + "]");
    EXPECT_TRUE(holds(data.refusal("longbench-v2/v2"), "has no $C_D$"));
    data.write("longbench_v2/data.json", "{\"a\": {}}");
    EXPECT_NE(data.refusal("longbench-v2/v2"), "");
    data.write("longbench_v2/data.json", "[]");
    EXPECT_TRUE(holds(data.refusal("longbench-v2/v2"), "has no rows"));
    data.write("longbench_v2/prompts/0shot.txt", "\n");
    EXPECT_TRUE(holds(data.refusal("longbench-v2/v2"), "0shot.txt is empty"));
    std::filesystem::remove(data.path() + "/longbench_v2/prompts/0shot.txt");
    std::filesystem::create_directory(data.path() + "/longbench_v2/prompts/0shot.txt");
    EXPECT_TRUE(holds(data.refusal("longbench-v2/v2"), "cannot read"));
}

const std::string k_ruler_row =
    R"({"index": 5, "input": "Remember.\nOne of the numbers for sea-lion is: 7.\nWhat are the numbers for sea-lion?",
        "outputs": ["7654321", "1234567"], "length": 4000, "answer_prefix": " The numbers are"})";

std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text + "\n";
}

TEST(RulerRows, BothLayoutsOfFolders) {
    const data_folder data;
    data.write("ruler/4096/data/niah_multivalue/validation.jsonl", one_line(k_ruler_row) + one_line(k_ruler_row));
    data.write("ruler/8192/niah_multivalue/validation.jsonl", one_line(k_ruler_row));
    data.write("ruler/notes/niah_multivalue/validation.jsonl", "not read");
    const auto task = data.open("ruler-rows/niah_multivalue");
    EXPECT_EQ(task->facts().n_examples, 1);  // of the length with fewest
    const eval_example e = task->make(nth(0, 8192));
    EXPECT_EQ(e.answer_prefix, " The numbers are");
    EXPECT_TRUE(e.chat_template);
    EXPECT_EQ(e.turns.at(0).text.substr(e.question_at), "What are the numbers for sea-lion?");
    EXPECT_EQ(e.gold, " 7654321, 1234567");
    EXPECT_EQ(e.max_new_tokens, 128);
    EXPECT_EQ(task->score(e, " 1234567.").value, 0.5);
    try {
        task->make(nth(0, 16384));
        ADD_FAILURE();
    } catch (const failure & error) {
        EXPECT_TRUE(holds(error.what(), "there are some for 4096, 8192")) << error.what();
    }
}

TEST(RulerRows, RawTextTakesRowsWithOrWithoutPrefix) {
    const data_folder data;
    data.write("ruler/4096/data/qa_1/validation.jsonl",
               one_line(k_ruler_row) + R"({"input": "Text.\nQuestion: who? Answer:", "outputs": ["Ann", "Bob"]})");
    const auto task = data.open("ruler-raw-rows/qa_1");
    EXPECT_TRUE(holds(task->make(nth(0, 4096)).turns.at(0).text, "for sea-lion? The numbers are"));
    const eval_example e = task->make(nth(1, 4096));
    EXPECT_FALSE(e.chat_template);
    EXPECT_EQ(e.turns.at(0).text.substr(e.question_at), "Question: who? Answer:");
    EXPECT_EQ(e.gold, " Ann");
    EXPECT_EQ(e.max_new_tokens, 32);
    EXPECT_EQ(task->score(e, "It was bob.").value, 1);
    EXPECT_TRUE(holds(data.refusal("ruler-rows/qa_1"), "line 2: has no \"answer_prefix\""));
}

TEST(RulerRows, RefusesRowsThatHoldAChatTemplate) {
    const data_folder data;
    data.write("ruler/4096/data/vt/validation.jsonl",
               R"({"input": "<|start_header_id|>user<|end_header_id|>x", "outputs": ["A"], "answer_prefix": ""})");
    EXPECT_TRUE(holds(data.refusal("ruler-rows/vt"), "--model_template_type base"));
    EXPECT_TRUE(holds(data.refusal("ruler-rows/cwe"), "has no rows of cwe"));
}

std::string gsm_row(int op, const std::string & answer) {
    return R"({"problem": "p", "question": "How many?", "solution": "So it is. Answer: )" + answer + R"(.", "op": )" +
           std::to_string(op) + R"(, "id": 3, "messages": [{"role": "system", "content": "Be brief."},
               {"role": "user", "content": "Text."}, {"role": "user", "content": "How many? Think."}]})";
}

TEST(GsmInfiniteRows, OpsTakeTurns) {
    const data_folder data;
    std::string rows;
    for (const int op : {2, 2, 2, 31, 5, 5, 3}) {
        rows += one_line(gsm_row(op, std::to_string(op * 10)));
    }
    data.write("gsm_infinite/medium_8k.jsonl", rows);
    const auto task = data.open("gsm-infinite-rows/medium_8k");
    ASSERT_EQ(task->facts().n_examples, 6);
    std::string ops;
    for (int64_t i = 0; i < 6; ++i) {
        ops += task->make(nth(i)).meta.at("op");
    }
    EXPECT_EQ(ops, "235252");
    const eval_example e = task->make(nth(0));
    ASSERT_EQ(e.turns.size(), 2U);
    EXPECT_EQ(e.turns[1].text, "Text.\nHow many? Think.");  // two turns of the user's are one
    EXPECT_EQ(e.turns[1].text.substr(e.question_at), "How many? Think.");
    EXPECT_EQ(task->score(e, "It is 20.").value, 1);
    const task_score early = task->score(e, "Answer: 3. No. Answer: 20.");
    EXPECT_EQ(early.value, 1);
    EXPECT_TRUE(holds(early.read, "official parser: 3"));
}

TEST(GsmInfiniteRows, SymbolicAnswersAreSets) {
    const data_folder data;
    data.write("gsm_infinite/symbolic_0.jsonl",
               R"({"op": 2, "answer_list": ["V9", "V10"], "messages": [{"role": "user", "content": "x"}]})");
    const auto task = data.open("gsm-infinite-rows/symbolic_0");
    const eval_example e = task->make(nth(0));
    EXPECT_EQ(task->score(e, "V7 too. The final answer is V9 and V10.").value, 1);
    EXPECT_EQ(task->score(e, "The final answer is V9.").value, 0);
    data.write("gsm_infinite/symbolic_0.jsonl", R"({"op": 2, "answer_list": ["V9"], "messages": []})");
    EXPECT_TRUE(holds(data.refusal("gsm-infinite-rows/symbolic_0"), "\"messages\""));
    data.write("gsm_infinite/hard_0.jsonl", one_line(gsm_row(4, "many")));
    EXPECT_TRUE(holds(data.refusal("gsm-infinite-rows/hard_0"), "no number behind \"Answer: \""));
}

void write_gsm8k(const data_folder & data) {
    std::string rows;
    for (int i = 0; i < 40; ++i) {
        rows += R"({"question": "If there are )" + std::to_string(i) + R"( cats?", "answer": "Count. #### )" +
                std::to_string(i) + "\"}\n";
    }
    data.write("gsm8k/train.jsonl", rows);
    data.write("gsm8k/test.jsonl", R"({"question": "How many dogs?", "answer": "Sum. #### 1,200"})");
}

size_t count_of(const std::string & text, const std::string & part) {
    size_t n = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++n;
    }
    return n;
}

TEST(Gsm8k, SolvedExamplesComeBefore) {
    const data_folder data;
    write_gsm8k(data);
    const auto few = data.open("gsm8k/8_shot");
    const eval_example e = few->make(nth(0));
    EXPECT_EQ(count_of(e.turns.at(0).text, "####"), 8U);
    EXPECT_EQ(e.turns[0].text.substr(e.question_at), "Question: How many dogs?\nAnswer:");
    EXPECT_EQ(few->score(e, "So 1,200.").value, 1);
    EXPECT_EQ(few->score(e, "#### 1200.0").value, 1);
    EXPECT_FALSE(few->score(e, "none").found);

    const auto many = data.open("gsm8k/long");
    const eval_example filled = many->make(nth(0, 900));
    const int64_t n = k_tokens.count_prompt(filled) + filled.max_new_tokens;
    EXPECT_LE(n, 900);
    EXPECT_GT(n, 850);
    EXPECT_GT(count_of(filled.turns.at(0).text, "####"), 8U);
    EXPECT_THROW(many->make(nth(0, 400)), failure);
}

TEST(Aime, PlainAndBehindSolvedProblems) {
    const data_folder data;
    write_gsm8k(data);
    data.write("aime24/test.jsonl",
               "{\"problem\": \"Find m.\", \"answer\": \"025\"}\n"
               "{\"Problem\": \"Find n.\", \"Answer\": 113}\n");
    const auto plain = data.open("aime24/plain");
    EXPECT_EQ(plain->facts().n_examples, 2);
    EXPECT_EQ(plain->score(plain->make(nth(0)), "\\boxed{25}").value, 1);
    EXPECT_EQ(plain->score(plain->make(nth(1)), "\\boxed{25}").value, 0);
    const eval_example filled = data.open("aime24/long")->make(nth(1, 4700));
    EXPECT_GT(count_of(filled.turns.at(0).text, "####"), 10U);
    EXPECT_TRUE(holds(filled.turns[0].text.substr(filled.question_at), "Find n."));
    data.write("aime24/test.jsonl", R"({"problem": "Find m.", "answer": "m + n"})");
    EXPECT_TRUE(holds(data.refusal("aime24/plain"), "is no whole number"));
}

// No record is taken for an example of a task that makes other texts by now.
TEST(Keys, NameATasksRevision) {
    class revised_task : public eval_task {
      public:
        explicit revised_task(int revision) {
            facts_.suite = "suite";
            facts_.name = "task";
            facts_.revision = revision;
        }
        const task_facts & facts() const override { return facts_; }
        eval_example make(const example_request &) const override { return {}; }
        task_score score(const eval_example &, const std::string &) const override { return {}; }

      private:
        task_facts facts_;
    };
    eval_settings settings;
    settings.arms.resize(1);
    std::set<std::string> keys;
    for (const int revision : {0, 1, 2, 1}) {
        const revised_task task(revision);
        keys.insert(answer_key(settings, settings.arms.front(), {&task, 4096, 0, 1}, 0));
    }
    EXPECT_EQ(keys.size(), 3U);
}

// A record is only taken for an example that was read from the same file.
TEST(OfficialFiles, OtherContentsGiveOtherKeys) {
    const data_folder data;
    eval_settings settings;
    settings.arms.resize(1);
    const auto key = [&](const char * reference) {
        const auto task = data.open(reference);
        return answer_key(settings, settings.arms.front(), {task.get(), 4096, 0, 1}, 0);
    };
    write_longbench(data, "hotpotqa", longbench_row("A text.", R"("answers": ["Ann"], "all_classes": null)"));
    const std::string before = key("longbench-e/hotpotqa");
    EXPECT_EQ(key("longbench-e/hotpotqa"), before);
    write_longbench(data, "hotpotqa", longbench_row("Another text.", R"("answers": ["Ann"], "all_classes": null)"));
    EXPECT_NE(key("longbench-e/hotpotqa"), before);

    data.write("ruler/4096/data/niah_multivalue/validation.jsonl", one_line(k_ruler_row));
    const std::string one = key("ruler-rows/niah_multivalue");
    data.write("ruler/4096/data/niah_multivalue/validation.jsonl", one_line(k_ruler_row) + one_line(k_ruler_row));
    EXPECT_NE(key("ruler-rows/niah_multivalue"), one);

    data.write("longbench_v2/data.json", std::string("[") + k_v2_row + "]");
    data.write("longbench_v2/prompts/0shot.txt", "$DOC$ $Q$ $C_A$ $C_B$ $C_C$ $C_D$");
    const std::string format = key("longbench-v2/v2");
    data.write("longbench_v2/prompts/0shot.txt", "$DOC$\n$Q$ $C_A$ $C_B$ $C_C$ $C_D$");
    EXPECT_NE(key("longbench-v2/v2"), format);
}

TEST(OfficialFiles, SaysWhatIsMissing) {
    eval_sources none;
    const task_row & row = *find_tasks("gsm8k/8_shot").at(0);
    EXPECT_THROW(row.open(none, row.name), failure);
    const data_folder data;
    EXPECT_TRUE(holds(data.refusal("gsm8k/8_shot"), "gsm8k/train.jsonl: put GSM8K's training file there"));
    std::filesystem::create_directories(data.path() + "/gsm8k/train.jsonl");
    EXPECT_TRUE(holds(data.refusal("gsm8k/8_shot"), "cannot read"));
}

TEST(Sources, TextsAndWordsOfTheUsers) {
    const data_folder data;
    data.write("essays/b.txt", "Second.\n\n One");
    data.write("essays/a.txt", "First\ttext.");
    data.write("essays/c.html", "<b>");
    source_options options;
    options.essay = data.path() + "/essays";
    EXPECT_EQ(read_sources(options).essay, "First text. Second. One");
    options.essay = data.write("pg.json", R"({"text": "An  essay."})");
    EXPECT_EQ(read_sources(options).essay, "An essay.");
    EXPECT_EQ(read_sources(options).essay_name, "pg.json");

    data.write("wordnet/index.adj", "  1 licence\nable a 1\nzz a 1\nmore_than a\nquick a 2\n");
    data.write("wordnet/index.noun", "fox n\nriver n 3\n");
    data.write("wordnet/index.verb", "quick v\nswim v\n");
    options.words = data.path() + "/wordnet";
    const eval_sources words = read_sources(options);
    EXPECT_EQ(words.adjectives, (std::vector<std::string>{"able", "quick"}));
    EXPECT_EQ(words.nouns, (std::vector<std::string>{"river"}));
    EXPECT_EQ(words.words, (std::vector<std::string>{"able", "quick", "river", "swim"}));
    options.words = data.write("english_words.json", R"({"0": "beta", "1": "alpha"})");
    EXPECT_EQ(read_sources(options).words, (std::vector<std::string>{"alpha", "beta"}));
    options.words = data.path() + "/essays";
    EXPECT_THROW(read_sources(options), failure);
    options.words = data.path() + "/nothing";
    EXPECT_THROW(read_sources(options), failure);
    options = {};
    options.data = data.path() + "/pg.json";
    EXPECT_THROW(read_sources(options), failure);
}

}  // namespace
}  // namespace tmx::test
