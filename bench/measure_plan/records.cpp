#include "records.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "runtime/failure.h"

namespace tmx {
namespace {

using json = nlohmann::ordered_json;

json to_json(const record & r) {
    return {{"stage", r.stage},
            {"model", r.model},
            {"arm", r.arm},
            {"n_layers", r.n_layers},
            {"precision", r.precision},
            {"kind", r.kind},
            {"length", r.length},
            {"sample", r.sample},
            {"seed", r.seed},
            {"n_tokens", r.n_tokens},
            {"first_kl", r.distance.first_kl},
            {"following_kl", r.distance.following_kl},
            {"worst_kl", r.distance.worst_kl},
            {"n_positions", r.distance.n_positions},
            {"n_same_top", r.distance.n_same_top},
            {"margin", r.margin},
            {"prefill_s", r.prefill_seconds},
            {"command", r.command}};
}

record from_json(const json & j) {
    record r;
    r.stage = j.at("stage");
    r.model = j.at("model");
    r.arm = j.at("arm");
    r.n_layers = j.at("n_layers");
    r.precision = j.at("precision");
    r.kind = j.at("kind");
    r.length = j.at("length");
    r.sample = j.at("sample");
    r.seed = j.at("seed");
    r.n_tokens = j.at("n_tokens");
    r.distance.first_kl = j.at("first_kl");
    r.distance.following_kl = j.at("following_kl");
    r.distance.worst_kl = j.at("worst_kl");
    r.distance.n_positions = j.at("n_positions");
    r.distance.n_following = r.distance.n_positions - 1;
    r.distance.n_same_top = j.at("n_same_top");
    r.margin = j.at("margin");
    r.prefill_seconds = j.at("prefill_s");
    r.command = j.at("command");
    return r;
}

}  // namespace

std::string record::key() const {
    return stage + '|' + model + '|' + arm + '|' + precision + '|' + kind + '|' + std::to_string(length) + '|' +
           std::to_string(sample) + '|' + std::to_string(seed);
}

std::vector<record> read_records(const std::string & path) {
    std::ifstream in(path);
    if (!in) {
        throw failure("cannot read " + path);
    }
    std::vector<record> records;
    std::string line;
    for (int64_t number = 1; std::getline(in, line); ++number) {
        if (in.eof()) {
            break;  // no newline at its end: it was being written when the run ended
        }
        try {
            records.push_back(from_json(json::parse(line)));
        } catch (const json::exception & error) {
            throw failure(path + ", line " + std::to_string(number) + " is not a measurement: " + error.what());
        }
    }
    return records;
}

record_file::record_file(const std::string & path) {
    if (std::filesystem::exists(path)) {
        records_ = read_records(path);
        for (const record & r : records_) {
            keys_.insert(r.key());
        }
        std::ifstream in(path, std::ios::binary);
        const std::string content{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
        const size_t last_newline = content.find_last_of('\n');
        std::filesystem::resize_file(path, last_newline == std::string::npos ? 0 : last_newline + 1);
    }
    out_.open(path, std::ios::app);
    if (!out_) {
        throw failure("cannot write " + path);
    }
}

void record_file::append(const record & r) {
    out_ << to_json(r).dump() << std::endl;
    if (!out_) {
        throw failure("writing a measurement failed (disk full?)");
    }
    records_.push_back(r);
    keys_.insert(r.key());
}

}  // namespace tmx
