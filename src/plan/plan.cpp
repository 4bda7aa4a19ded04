#include "trianglemix/plan.h"

#include <algorithm>
#include <exception>

#include "plan/quote.h"

namespace tmx {
namespace {

struct tail_word {
    std::string_view text;
    tail_policy value;
};
constexpr tail_word tail_words[] = {
    {"prompt", tail_policy::prompt}, {"chunk", tail_policy::chunk}, {"output", tail_policy::output}};

struct precision_word {
    std::string_view text;
    precision value;
};
constexpr precision_word precision_words[] = {{"exact", precision::exact}, {"fast", precision::fast}};

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

bool plan::operator==(const plan & other) const {
    return name == other.name && model == other.model && shape.n_sink == other.shape.n_sink &&
           shape.n_window == other.shape.n_window && shape.n_last == other.shape.n_last && tail == other.tail &&
           arithmetic == other.arithmetic && layers == other.layers && provenance == other.provenance;
}

std::string_view name_of(tail_policy tail) {
    for (const tail_word & word : tail_words) {
        if (word.value == tail) {
            return word.text;
        }
    }
    return "unknown";
}

std::string_view name_of(precision arithmetic) {
    for (const precision_word & word : precision_words) {
        if (word.value == arithmetic) {
            return word.text;
        }
    }
    return "unknown";
}

parsed<tail_policy> parse_tail_policy(std::string_view text) noexcept {
    try {
        for (const tail_word & word : tail_words) {
            if (word.text == text) {
                return {word.value, ""};
            }
        }
        return {{}, "found " + quote(text) + ", expected \"prompt\", \"chunk\" or \"output\""};
    } catch (const std::exception &) {
        return {{}, "out of memory"};
    }
}

parsed<precision> parse_precision(std::string_view text) noexcept {
    try {
        for (const precision_word & word : precision_words) {
            if (word.text == text) {
                return {word.value, ""};
            }
        }
        return {{}, "found " + quote(text) + ", expected \"exact\" or \"fast\""};
    } catch (const std::exception &) {
        return {{}, "out of memory"};
    }
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
            if (p.layers[layer].kind == layer_kind::triangle) {
                found.add("a model with a layer " + std::to_string(layer),
                          "has layers 0 to " + std::to_string(running.n_layer - 1));
                break;
            }
        }
    }
    if (p.model.n_head == 0 && running.n_head > 0) {
        for (size_t layer = 0; layer < p.layers.size(); ++layer) {
            const size_t n_head = p.layers[layer].dense_head.size();
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
