#include <array>
#include <exception>
#include <span>
#include <string>

#include "plan/checked_json.h"
#include "plan/index_set.h"
#include "plan/limits.h"
#include "plan/object_reader.h"
#include "plan/plan_text.h"
#include "plan/read_bands.h"
#include "plan/read_dynamic.h"

namespace tmx {
namespace {

using namespace plan_limits;

// The last three are keys of version 2.
constexpr std::array<std::string_view, 15> file_keys = {
    "format",    "version",         "name",     "model",      "sink",    "window", "last", "tail",
    "precision", "triangle_layers", "per_head", "provenance", "dynamic", "bands",  "skip"};
constexpr std::span<const std::string_view> version_1_keys(file_keys.data(), file_keys.size() - 3);
constexpr std::array<std::string_view, 5> model_keys = {"architecture", "layers", "heads", "kv_heads", "head_dim"};
constexpr std::array<std::string_view, 1> head_keys = {"dense_heads"};

const char * hint_of_version_1(std::string_view key) {
    if (key == "bands" || key == "skip") {
        return "a key of version 2; ";
    }
    return key.starts_with("dynamic") ? "a file of version 2 names its dynamic layers in \"dynamic\"; " : "";
}

// Format and version come first: a file of a later version may hold anything else. The version, or 0 after an error.
int64_t read_header(object_reader & file) {
    const json * format = file.find("format", true);
    if (format != nullptr && *format != "trianglemix-plan") {
        file.fail("format", "found " + shown(*format) + ", expected \"trianglemix-plan\"");
    }
    const json * version = file.find("version", true);
    if (version == nullptr) {
        return 0;
    }
    if (!version->is_number_integer() || (*version != 1 && *version != 2)) {
        file.fail("version", "found " + shown(*version) + ", this program reads versions 1 and 2");
        return 0;
    }
    return version->get<int64_t>();
}

void read_model(const json & object, plan & p, std::string & error) {
    object_reader model(object, "model", error);
    model.allow_only(model_keys);
    model.text("architecture", max_name_bytes, p.model.architecture);
    model.integer("layers", true, 1, max_layers, p.model.n_layer);
    model.integer("heads", false, 1, max_heads, p.model.n_head);
    model.integer("kv_heads", false, 1, max_heads, p.model.n_head_kv);
    model.integer("head_dim", false, 1, max_head_dim, p.model.d_head);
    if (model.ok() && p.model.n_head > 0 && p.model.n_head_kv > 0 && p.model.n_head % p.model.n_head_kv != 0) {
        model.fail("model.kv_heads", "found " + std::to_string(p.model.n_head_kv) + ", expected a divisor of heads (" +
                                         std::to_string(p.model.n_head) + ")");
    }
}

// The layer that a key of "per_head" names, or -1. Only the plain decimal form: "07" and "7" must not both be layer 7.
int32_t layer_of_key(const std::string & key, int32_t n_layer) {
    int32_t layer = 0;
    for (const char c : key) {
        if (c < '0' || c > '9' || layer >= n_layer) {
            return -1;
        }
        layer = layer * 10 + (c - '0');
    }
    return layer < n_layer && key == std::to_string(layer) ? layer : -1;
}

void read_heads(const json & object, plan & p, std::string & error) {
    object_reader per_head(object, "per_head", error);
    if (per_head.ok() && p.model.n_head == 0) {
        per_head.fail("per_head", "needs model.heads, which is missing");
    }
    if (!per_head.ok()) {
        return;
    }
    for (const auto & member : object.items()) {
        const std::string path = path_of("per_head", member.key());
        const int32_t layer = layer_of_key(member.key(), p.model.n_layer);
        if (layer < 0) {
            per_head.fail(path, "expected a layer number from 0 to " + std::to_string(p.model.n_layer - 1));
            return;
        }
        layer_plan & target = p.layers[static_cast<size_t>(layer)];
        if (target.kind != layer_kind::triangle) {
            per_head.fail(path, "layer " + member.key() + " is dense; only layers in triangle_layers take heads");
            return;
        }
        std::vector<int32_t> heads;
        object_reader entry(member.value(), path, error);
        entry.allow_only(head_keys);
        entry.word("dense_heads", true, "a string such as \"0-3,7\"", heads,
                   [&](const std::string & text) { return parse_index_set(text, p.model.n_head, max_heads, "head"); });
        if (entry.ok() && heads.empty()) {
            entry.fail(path + ".dense_heads", "names no head; leave the entry out");
        }
        if (entry.ok() && heads.size() == static_cast<size_t>(p.model.n_head)) {
            entry.fail(path + ".dense_heads",
                       "names every head; take layer " + member.key() + " out of triangle_layers instead");
        }
        if (!entry.ok()) {
            return;
        }
        target.dense_head.assign(static_cast<size_t>(p.model.n_head), 0);
        for (const int32_t head : heads) {
            target.dense_head[static_cast<size_t>(head)] = 1;
            const int32_t rule = target.head_dynamic.empty() ? -1 : target.head_dynamic[static_cast<size_t>(head)];
            if (rule >= 0) {
                entry.fail(path + ".dense_heads",
                           "head " + std::to_string(head) + " is in dynamic[" + std::to_string(rule) + "]");
                return;
            }
        }
    }
}

size_t count_values(const json & value) {
    size_t n = 1;
    if (value.is_structured()) {
        for (const json & child : value) {
            n += count_values(child);
        }
    }
    return n;
}

void read_provenance(const json & value, plan & p, object_reader & file) {
    if (!value.is_object()) {
        file.fail("provenance", "found " + shown(value) + ", expected an object");
        return;
    }
    if (count_values(value) > max_provenance_values) {
        file.fail("provenance", "more than " + std::to_string(max_provenance_values) + " values");
        return;
    }
    p.provenance = value.dump();
    if (p.provenance.size() > max_provenance_bytes) {
        file.fail("provenance",
                  std::to_string(p.provenance.size()) + " bytes, at most " + std::to_string(max_provenance_bytes));
    }
}

parsed<plan> read_tree(const json & tree) {
    plan p;
    std::string error;
    object_reader file(tree, "", error);
    const int64_t version = read_header(file);
    if (version == 1) {
        file.allow_only(version_1_keys, hint_of_version_1);
    } else {
        file.allow_only(file_keys);
    }
    file.text("name", max_name_bytes, p.name);
    if (const json * model = file.find("model", true)) {
        read_model(*model, p, error);
    }
    file.integer("sink", false, 0, max_tokens, p.shape.n_sink);
    file.integer("window", false, 1, max_tokens, p.shape.n_window);
    file.integer("last", false, 0, max_tokens, p.shape.n_last);
    file.number("skip", 0, static_cast<double>(max_tokens), p.skip);
    file.word("tail", false, "\"prompt\", \"chunk\" or \"output\"", p.tail, parse_tail_policy);
    file.word("precision", false, "\"exact\" or \"fast\"", p.arithmetic, parse_precision);

    std::vector<int32_t> triangle;
    file.word("triangle_layers", true, "a string such as \"16-31\"", triangle,
              [&](const std::string & text) { return parse_layer_set(text, p.model.n_layer); });
    if (file.ok()) {
        p.layers.resize(static_cast<size_t>(p.model.n_layer));
        for (const int32_t layer : triangle) {
            p.layers[static_cast<size_t>(layer)].kind = layer_kind::triangle;
        }
    }
    if (const json * bands = file.find("bands", false)) {
        read_bands(*bands, p, error);
    }
    if (const json * dynamic = file.find("dynamic", false)) {
        read_dynamic(*dynamic, p, error);
    }
    if (const json * per_head = file.find("per_head", false)) {
        read_heads(*per_head, p, error);
    }
    if (const json * provenance = file.find("provenance", false)) {
        read_provenance(*provenance, p, file);
    }
    if (!error.empty()) {
        return {{}, error};
    }
    return {std::move(p), ""};
}

}  // namespace

int64_t measured_length(const plan & p) noexcept {
    try {
        const parsed<json> tree = parse_checked_json(p.provenance, max_depth, max_values);
        // Provenance may hold anything under any key.
        const auto found = tree.ok() && tree.value.is_object() ? tree.value.find("measured_up_to") : tree.value.end();
        if (found == tree.value.end() || !found->is_number_unsigned() || *found > max_tokens) {
            return 0;
        }
        return found->get<int64_t>();
    } catch (const std::exception &) {
        return 0;
    }
}

parsed<plan> parse_plan_text(std::string_view text) {
    if (text.size() > max_text_bytes) {
        return {{}, std::to_string(text.size()) + " bytes, a plan has at most " + std::to_string(max_text_bytes)};
    }
    const parsed<json> tree = parse_checked_json(text, max_depth, max_values);
    if (!tree.ok()) {
        return {{}, tree.error};
    }
    return read_tree(tree.value);
}

}  // namespace tmx
