#include "trianglemix/plan.h"

#include <algorithm>
#include <exception>

#include "plan/quote.h"

namespace tmx {
namespace {

// How files and users spell a value.
template <typename T>
struct spelling {
    std::string_view text;
    T value;
};
constexpr spelling<tail_policy> k_tails[] = {
    {"prompt", tail_policy::prompt}, {"chunk", tail_policy::chunk}, {"output", tail_policy::output}};
constexpr spelling<precision> k_precisions[] = {{"exact", precision::exact}, {"fast", precision::fast}};

template <typename T, size_t n>
std::string_view spelled(const spelling<T> (&all)[n], T value) {
    for (const spelling<T> & each : all) {
        if (each.value == value) {
            return each.text;
        }
    }
    return "unknown";
}

template <typename T, size_t n>
parsed<T> parse_spelling(const spelling<T> (&all)[n], std::string_view text, const char * expected) noexcept {
    try {
        for (const spelling<T> & each : all) {
            if (each.text == text) {
                return {each.value, ""};
            }
        }
        return {{}, "found " + quote(text) + ", expected " + expected};
    } catch (const std::exception &) {
        return {{}, "out of memory"};
    }
}

// Collects the clauses of one sentence: "plan is for A, the model has B; for C, the model has D".
class difference {
  public:
    void add(const std::string & plan_is_for, const std::string & the_model) {
        text_ += (text_.empty() ? "plan is for " : "; for ") + plan_is_for + ", the model " + the_model;
    }

    void compare(int32_t planned, int32_t running, const char * unit_before, const char * unit_after) {
        if (planned > 0 && running > 0 && planned != running) {
            add(unit_before + std::to_string(planned) + unit_after, "has " + std::to_string(running));
        }
    }

    const std::string & text() const { return text_; }

  private:
    std::string text_;
};

}  // namespace

bool plan::any_triangle() const {
    return std::any_of(layers.begin(), layers.end(),
                       [](const layer_plan & layer) { return layer.kind == layer_kind::triangle; });
}

bool plan::any_sparse() const {
    return skip > 0 || std::any_of(layers.begin(), layers.end(), [](const layer_plan & layer) {
               return layer.kind == layer_kind::triangle || layer.is_dynamic();
           });
}

triangle_shape plan::shape_of_layer(size_t layer) const {
    const own_band & own = layers[layer].own;
    return {own.n_sink >= 0 ? own.n_sink : shape.n_sink, own.n_window >= 0 ? own.n_window : shape.n_window,
            shape.n_last};
}

bool plan::operator==(const plan & other) const {
    return name == other.name && model == other.model && shape.n_sink == other.shape.n_sink &&
           shape.n_window == other.shape.n_window && shape.n_last == other.shape.n_last && tail == other.tail &&
           arithmetic == other.arithmetic && layers == other.layers && dynamic == other.dynamic && skip == other.skip &&
           provenance == other.provenance;
}

std::string_view name_of(tail_policy tail) {
    return spelled(k_tails, tail);
}

std::string_view name_of(precision arithmetic) {
    return spelled(k_precisions, arithmetic);
}

parsed<tail_policy> parse_tail_policy(std::string_view text) noexcept {
    return parse_spelling(k_tails, text, "\"prompt\", \"chunk\" or \"output\"");
}

parsed<precision> parse_precision(std::string_view text) noexcept {
    return parse_spelling(k_precisions, text, "\"exact\" or \"fast\"");
}

std::string plan_mismatch(const plan & p, const model_shape & running) {
    difference found;
    if (!p.model.architecture.empty() && !running.architecture.empty() &&
        p.model.architecture != running.architecture) {
        found.add("architecture " + p.model.architecture, "is " + running.architecture);
    }
    found.compare(p.model.n_layer, running.n_layer, "", " layers");
    found.compare(p.model.n_head, running.n_head, "", " heads");
    found.compare(p.model.n_head_kv, running.n_head_kv, "", " KV heads");
    found.compare(p.model.d_head, running.d_head, "head dimension ", "");

    // A plan that records no shape (layers typed by hand) still names layers and heads that must exist.
    if (p.model.n_layer == 0 && running.n_layer > 0 && p.layers.size() > static_cast<size_t>(running.n_layer)) {
        for (size_t layer = p.layers.size(); layer-- > static_cast<size_t>(running.n_layer);) {
            if (p.layers[layer].kind == layer_kind::triangle || p.layers[layer].is_dynamic()) {
                found.add("a model with a layer " + std::to_string(layer),
                          "has layers 0 to " + std::to_string(running.n_layer - 1));
                break;
            }
        }
    }
    if (p.model.n_head == 0 && running.n_head > 0) {
        for (size_t layer = 0; layer < p.layers.size(); ++layer) {
            const size_t n_head = std::max(p.layers[layer].dense_head.size(), p.layers[layer].head_dynamic.size());
            if (n_head != 0 && n_head != static_cast<size_t>(running.n_head)) {
                found.add(std::to_string(n_head) + " heads in layer " + std::to_string(layer),
                          "has " + std::to_string(running.n_head));
                break;
            }
        }
    }
    return found.text();
}

}  // namespace tmx
