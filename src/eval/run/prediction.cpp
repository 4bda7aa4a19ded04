#include "eval/run/prediction.h"

namespace tmx {

nlohmann::ordered_json to_json(const prediction & p) {
    const answered & a = p.answer;
    nlohmann::ordered_json record = {
        {"kind", "answer"},
        {"suite", p.suite},
        {"task", p.task},
        {"id", p.id},
        {"length", p.length},
        {"arm", p.arm},
        {"arm_identity", p.arm_identity},
        {"provenance", p.from},
        {"ids_hash", p.ids_hash},
        {"n_prompt", p.n_prompt},
        {"tail_tokens", p.tail_tokens},
        {"sparse_fraction", sparse_fraction(p.n_prompt)},
        {"kept_share", a.kept_share},
        {"n_planned", a.n_planned},
        {"score", p.score.value},
        {"found", p.score.found},
        {"read", p.score.read},
        {"text", a.text},
        {"token_ids", a.tokens},
        {"stop_reason", a.stop_reason},
        {"first_logprob", a.first_logprob},
        {"gold_nll", a.n_gold > 0 ? nlohmann::ordered_json(a.gold_nll) : nlohmann::ordered_json()},
        {"n_gold", a.n_gold},
        {"prefill_s", a.prefill_seconds},
        {"decode_s", a.decode_seconds},
        {"wall_s", a.wall_seconds},
        {"outputs", p.outputs},
        {"meta", p.meta}};
    if (!p.cluster.empty()) {
        record["cluster"] = p.cluster;
    }
    return record;
}

prediction prediction_of(const nlohmann::ordered_json & record) {
    prediction p;
    p.suite = record.at("suite");
    p.task = record.at("task");
    p.id = record.at("id");
    p.length = record.at("length");
    p.arm = record.at("arm");
    p.arm_identity = record.at("arm_identity");
    p.from = record.at("provenance");
    p.ids_hash = record.at("ids_hash");
    p.n_prompt = record.at("n_prompt");
    p.tail_tokens = record.at("tail_tokens");
    p.cluster = record.value("cluster", "");
    p.meta = record.at("meta").get<std::map<std::string, std::string>>();
    p.outputs = record.at("outputs").get<std::vector<std::string>>();
    p.score = {record.at("score"), record.at("found"), record.at("read")};
    answered & a = p.answer;
    a.tokens = record.at("token_ids").get<std::vector<token_id>>();
    a.text = record.at("text");
    a.stop_reason = record.at("stop_reason");
    a.first_logprob = record.at("first_logprob");
    a.n_gold = record.at("n_gold");
    a.gold_nll = a.n_gold > 0 ? record.at("gold_nll").get<double>() : -1;
    a.prefill_seconds = record.at("prefill_s");
    a.decode_seconds = record.at("decode_s");
    a.wall_seconds = record.at("wall_s");
    a.kept_share = record.at("kept_share");
    a.n_planned = record.at("n_planned");
    return p;
}

}  // namespace tmx
