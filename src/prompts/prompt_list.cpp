#include "prompts/prompt_list.h"

#include <fmt/core.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "measure/hash.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

using json = nlohmann::ordered_json;

constexpr uint64_t k_unseen_seed = 1000;  // added to the seed of prompts that are kept back
constexpr size_t k_kept_back = 3;         // of data, every third prompt

// JSON's own conversions would take 17.5 for 17, true for 1 and 2^40 for 0.
token_id token_of(const json & value) {
    constexpr auto most = static_cast<uint64_t>(std::numeric_limits<token_id>::max());
    if (!value.is_number_unsigned() || value.get<uint64_t>() > most) {
        throw failure(value.dump() + " is no token id, which is a whole number from 0");
    }
    return value.get<token_id>();
}

std::vector<token_id> tokens_of(const json & value) {
    if (!value.is_array() || value.empty()) {
        throw failure("\"ids\" needs a list of token ids");
    }
    std::vector<token_id> ids;
    for (const json & id : value) {
        ids.push_back(token_of(id));
    }
    return ids;
}

data_prompt data_of_json(const json & object) {
    data_prompt prompt;
    bool has_prompt = false;
    for (const auto & [key, value] : object.items()) {
        if (key == "prompt") {
            prompt.text = value.get<std::string>();
            has_prompt = true;
        } else if (key == "ids") {
            prompt.ids = tokens_of(value);
        } else if (key == "chat_template") {
            prompt.chat_template = value.get<bool>();
        } else if (key == "target" && value.is_string()) {
            prompt.target_text = value.get<std::string>();
            if (prompt.target_text.empty()) {
                throw failure("\"target\" is an empty text; leave it out for the model's own first token");
            }
        } else if (key == "target") {
            prompt.target = token_of(value);
        } else {
            throw failure("unknown key \"" + key + "\"; there are prompt, ids, chat_template and target");
        }
    }
    if (has_prompt == !prompt.ids.empty()) {
        throw failure("needs either \"prompt\" (text) or \"ids\" (tokens)");
    }
    return prompt;
}

uint64_t seed_of(const prompt_spec & spec, prompt_kind kind) {
    // One seed for each prompt; samples of other lengths and kinds share nothing.
    return ((spec.seed * 1000003 + static_cast<uint64_t>(spec.sample)) * 1000003 + static_cast<uint64_t>(spec.length)) *
               31 +
           static_cast<uint64_t>(kind);
}

void check_token(const model & m, token_id token) {
    if (token < 0 || token >= m.facts().n_vocab) {
        throw failure(
            fmt::format("token id {} is not of this model, whose ids are 0 to {}", token, m.facts().n_vocab - 1));
    }
}

built_prompt prompt_of_data(const model & m, const data_prompt & data) {
    built_prompt built;
    built.ids = data.ids.empty() ? m.tokenise_prompt(data.text, !data.chat_template).ids : data.ids;
    if (built.ids.empty()) {
        throw failure("the prompt has no tokens");
    }
    for (const token_id id : built.ids) {
        check_token(m, id);
    }
    built.target = data.target;
    if (!data.target_text.empty()) {
        const std::vector<token_id> target = m.tokenise(data.target_text);
        if (target.empty()) {
            throw failure("its target is no token");
        }
        built.target = target.front();
    }
    if (built.target >= 0) {
        check_token(m, built.target);
    }
    return built;
}

std::string line_of_file(const std::string & path, int64_t number, const char * what) {
    return fmt::format("{}, line {}: {}", path, number, what);
}

}  // namespace

std::string prompt_spec::name() const {
    if (kind == "data") {
        return fmt::format("data line {}", sample);
    }
    const std::string context = fmt::format("{} {} #{}", kind, length, sample);
    return question == 0 ? context : fmt::format("{}, question {}", context, question + 1);
}

std::vector<data_prompt> read_data_file(const std::string & path) {
    // Opening a pipe would wait for its writer.
    if (std::filesystem::exists(path) && !std::filesystem::is_regular_file(path)) {
        throw failure(path + " is no regular file");
    }
    std::ifstream in(path);
    if (!in) {
        throw failure("cannot read " + path);
    }
    std::vector<data_prompt> prompts;
    std::string line;
    for (int64_t number = 1; std::getline(in, line); ++number) {
        if (line.find_first_not_of(" \t\r") == std::string::npos) {
            continue;
        }
        try {
            data_prompt prompt = data_of_json(json::parse(line));
            prompt.line = number;
            prompts.push_back(std::move(prompt));
        } catch (const failure & error) {
            throw failure(line_of_file(path, number, error.what()));
        } catch (const json::exception & error) {
            throw failure(line_of_file(path, number, error.what()));
        }
    }
    if (prompts.empty()) {
        throw failure(path + " has no prompts");
    }
    return prompts;
}

std::vector<prompt_spec> list_prompts(const prompt_settings & settings) {
    std::vector<prompt_spec> specs;
    for (const bool held_out : {false, true}) {
        const int64_t samples = held_out ? settings.check_samples : settings.samples;
        const uint64_t seed = settings.seed + (held_out ? k_unseen_seed : 0);
        const bool own_lengths = held_out && !settings.check_lengths.empty();
        const std::vector<int64_t> & lengths = own_lengths ? settings.check_lengths : settings.lengths;
        for (int64_t sample = 0; sample < samples; ++sample) {
            for (const int64_t length : lengths) {
                for (const prompt_kind kind : settings.kinds) {
                    for (int64_t question = 0; question < settings.questions; ++question) {
                        specs.push_back({name_of(kind), length, sample, seed, held_out, 0, question});
                    }
                }
            }
        }
        for (size_t i = 0; i < settings.data.size(); ++i) {
            const bool kept_back = settings.check_samples > 0 && i % k_kept_back == k_kept_back - 1;
            if (kept_back == held_out) {
                specs.push_back({"data", 0, settings.data[i].line, 0, held_out, i});
            }
        }
    }
    return specs;
}

std::vector<probe_prompt> make_prompts(const model & m, const prompt_settings & settings, const prompt_spec & spec) {
    std::vector<built_prompt> built;
    if (spec.kind == "data") {
        try {
            built.push_back(prompt_of_data(m, settings.data[spec.data_index]));
        } catch (const failure & error) {
            throw failure(line_of_file(settings.data_path, spec.sample, error.what()));
        }
    } else {
        const prompt_kind kind = parse_prompt_kind(spec.kind);
        const bool other_texts = spec.held_out && !settings.check_texts.empty();
        built = build_prompts(m, kind, spec.length, seed_of(spec, kind),
                              other_texts ? settings.check_texts : settings.texts, settings.questions);
    }
    std::vector<probe_prompt> prompts;
    for (built_prompt & one : built) {
        probe_prompt prompt;
        prompt.target = settings.known_target || spec.kind == "data" ? one.target : -1;
        prompt.ids = std::move(one.ids);
        sha256 hash;
        hash.add(prompt.ids.data(), prompt.ids.size() * sizeof(token_id));
        hash.add(&prompt.target, sizeof(prompt.target));
        prompt.key = hash.hex().substr(0, 16);
        prompts.push_back(std::move(prompt));
    }
    return prompts;
}

}  // namespace tmx
