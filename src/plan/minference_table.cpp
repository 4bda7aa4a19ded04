// MInference's per-head tables, as its releases have them (minference/configs/*.json).
#include <string>

#include "plan/checked_json.h"
#include "plan/limits.h"
#include "plan/object_reader.h"
#include "trianglemix/head_patterns.h"

namespace tmx {
namespace {

constexpr head_pattern k_unsaid = {head_pattern::kind::vertical_slash, 1000, 6096};
constexpr int64_t k_most = 1 << 20;  // as vertical_slash takes
constexpr size_t k_most_values = size_t{8} << 20;

std::string place(size_t layer, const std::string & head) {
    return "layer " + std::to_string(layer) + ", head " + head;
}

bool is_size(const json & value) {
    return value.is_number_integer() && value >= 0 && value <= k_most;
}

parsed<head_pattern> read_pattern(const json & value, const std::string & where) {
    if (!value.is_array() || value.size() != 4 || !value[0].is_string() || !value[3].is_number()) {
        return {{}, where + ": found " + shown(value) + ", expected [type, number, number, score]"};
    }
    const auto & type = value[0].get_ref<const std::string &>();
    if (type == "block_sparse") {
        return {k_unsaid, ""};
    }
    if (type != "vertical_and_slash" && type != "stream_llm") {
        return {{},
                where + ": found type " + shown(value[0]) +
                    ", expected \"vertical_and_slash\", \"stream_llm\" or \"block_sparse\""};
    }
    for (const size_t at : {1, 2}) {
        if (!is_size(value[at])) {
            return {{},
                    where + ": found " + shown(value[at]) + ", expected a whole number from 0 to " +
                        std::to_string(k_most)};
        }
    }
    const auto kind = type == "stream_llm" ? head_pattern::kind::a_shape : head_pattern::kind::vertical_slash;
    const head_pattern pattern = {kind, value[1].get<int32_t>(), value[2].get<int32_t>()};
    if (kind == head_pattern::kind::a_shape && pattern.second == 0) {
        return {{}, where + ": a window of 0 keys; a row always keeps its own"};
    }
    return {pattern, ""};
}

// The number of a head, < 0 if it is none of the model's.
int32_t head_number(const std::string & text, int32_t n_head) {
    if (text.empty() || text.size() > 4 || text.find_first_not_of("0123456789") != std::string::npos) {
        return -1;
    }
    const int32_t number = std::stoi(text);
    return std::to_string(number) == text && number < n_head ? number : -1;
}

parsed<layer_patterns> read_layer(const json & object, size_t number, int32_t n_head) {
    layer_patterns layer{static_cast<int32_t>(number),
                         std::vector<head_pattern>(static_cast<size_t>(n_head), k_unsaid)};
    if (!object.is_object()) {
        return {{}, "layer " + std::to_string(number) + ": found " + shown(object) + ", expected an object of heads"};
    }
    for (const auto & [key, value] : object.items()) {
        const int32_t head = head_number(key, n_head);
        if (head < 0) {
            return {{}, place(number, shown(key)) + ": the model's heads are 0 to " + std::to_string(n_head - 1)};
        }
        parsed<head_pattern> read = read_pattern(value, place(number, key));
        if (!read.ok()) {
            return {{}, read.error};
        }
        layer.heads[static_cast<size_t>(head)] = read.value;
    }
    return {std::move(layer), ""};
}

parsed<std::vector<layer_patterns>> read_table(std::string_view text, const model_shape & model) {
    if (text.size() > plan_limits::max_text_bytes) {
        return {{}, "larger than " + std::to_string(plan_limits::max_text_bytes) + " bytes"};
    }
    const parsed<json> tree = parse_checked_json(text, 3, k_most_values);
    if (!tree.ok()) {
        return {{}, tree.error};
    }
    if (!tree.value.is_array()) {
        return {{}, "found " + shown(tree.value) + ", expected an array with an object for each layer"};
    }
    if (tree.value.size() != static_cast<size_t>(model.n_layer)) {
        return {{},
                "the table is for " + std::to_string(tree.value.size()) + " layers, the model has " +
                    std::to_string(model.n_layer)};
    }
    std::vector<layer_patterns> layers;
    for (size_t number = 0; number < tree.value.size(); ++number) {
        parsed<layer_patterns> layer = read_layer(tree.value[number], number, model.n_head);
        if (!layer.ok()) {
            return {{}, layer.error};
        }
        layers.push_back(std::move(layer.value));
    }
    return {std::move(layers), ""};
}

}  // namespace

parsed<std::vector<layer_patterns>> parse_minference_table(std::string_view json_text,
                                                           const model_shape & model) noexcept {
    try {
        return read_table(json_text, model);
    } catch (const std::exception & problem) {
        return {{}, problem.what()};
    }
}

}  // namespace tmx
