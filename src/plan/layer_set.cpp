#include <algorithm>
#include <exception>

#include "plan/index_set.h"
#include "plan/limits.h"
#include "plan/quote.h"

namespace tmx {
namespace {

// Walks the text of a set; blanks around numbers, dashes and commas do not matter.
class scanner {
  public:
    explicit scanner(std::string_view text) : text_(text) {}

    bool at_end() {
        skip_blanks();
        return at_ == text_.size();
    }

    bool take(char wanted) {
        skip_blanks();
        if (at_ < text_.size() && text_[at_] == wanted) {
            ++at_;
            return true;
        }
        return false;
    }

    // A decimal number, or -1 if there is none here. Stops counting above any limit of the format.
    int32_t take_number() {
        skip_blanks();
        int32_t value = -1;
        for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
            value = std::min((value < 0 ? 0 : value) * 10 + (text_[at_] - '0'), 1000000);
        }
        return value;
    }

    size_t position() const { return at_; }

  private:
    void skip_blanks() {
        while (at_ < text_.size() && text_[at_] == ' ') {
            ++at_;
        }
    }

    std::string_view text_;
    size_t at_ = 0;
};

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ') {
        text.remove_prefix(1);
    }
    while (!text.empty() && text.back() == ' ') {
        text.remove_suffix(1);
    }
    return text;
}

}  // namespace

parsed<std::vector<int32_t>> parse_index_set(std::string_view text, int32_t n, int32_t limit, std::string_view noun) {
    const std::string thing(noun);
    const auto fail = [&](const std::string & reason) -> parsed<std::vector<int32_t>> {
        return {{}, thing + " set " + quote(text) + ": " + reason};
    };
    if (trimmed(text) == "none") {
        return {};
    }
    if (trimmed(text) == "all") {
        if (n < 0) {
            return fail("\"all\" needs the number of " + thing +
                        "s, which is not known here; give numbers, as \"16-31\"");
        }
        parsed<std::vector<int32_t>> all;
        for (int32_t i = 0; i < n; ++i) {
            all.value.push_back(i);
        }
        return all;
    }

    const int32_t bound = n < 0 ? limit : n;
    std::vector<uint8_t> present(static_cast<size_t>(bound), 0);
    scanner scan(text);
    do {
        const int32_t first = scan.take_number();
        if (first < 0) {
            return fail("expected a " + thing + " number at character " + std::to_string(scan.position() + 1) +
                        "; write numbers and ranges as \"0,4,7-9\", or \"all\", or \"none\"");
        }
        int32_t last = first;
        if (scan.take('-')) {
            last = scan.take_number();
            if (last < 0) {
                return fail("expected the range's last " + thing + " at character " +
                            std::to_string(scan.position() + 1) + ", as in \"16-31\"");
            }
            if (last < first) {
                return fail("range " + std::to_string(first) + "-" + std::to_string(last) +
                            " descends; write the smaller number first");
            }
        }
        if (last >= bound) {
            if (n == 0) {
                return fail("there are no " + thing + "s; only \"none\" fits");
            }
            return fail(thing + " " + std::to_string(last) + (last == 1000000 ? " or above" : "") +
                        " does not exist; " + thing + "s are 0 to " + std::to_string(bound - 1));
        }
        for (int32_t i = first; i <= last; ++i) {
            if (present[static_cast<size_t>(i)] != 0) {
                return fail(thing + " " + std::to_string(i) + " appears twice");
            }
            present[static_cast<size_t>(i)] = 1;
        }
    } while (scan.take(','));
    if (!scan.at_end()) {
        return fail("unexpected text at character " + std::to_string(scan.position() + 1) +
                    "; write numbers and ranges as \"0,4,7-9\", or \"all\", or \"none\"");
    }

    parsed<std::vector<int32_t>> result;
    for (int32_t i = 0; i < bound; ++i) {
        if (present[static_cast<size_t>(i)] != 0) {
            result.value.push_back(i);
        }
    }
    return result;
}

parsed<std::vector<int32_t>> parse_layer_set(std::string_view text, int32_t n_layer) noexcept {
    try {
        if (n_layer > plan_limits::max_layers) {
            return {{},
                    "a model of " + std::to_string(n_layer) + " layers is above the limit of " +
                        std::to_string(plan_limits::max_layers)};
        }
        return parse_index_set(text, n_layer, plan_limits::max_layers, "layer");
    } catch (const std::exception &) {
        return {{}, "out of memory"};
    }
}

std::string format_layer_set(const std::vector<int32_t> & layers) {
    if (layers.empty()) {
        return "none";
    }
    std::string text;
    for (size_t begin = 0; begin < layers.size();) {
        size_t end = begin + 1;
        while (end < layers.size() && layers[end] == layers[end - 1] + 1) {
            ++end;
        }
        if (!text.empty()) {
            text += ',';
        }
        text += std::to_string(layers[begin]);
        if (end - begin > 1) {
            text += '-';
            text += std::to_string(layers[end - 1]);
        }
        begin = end;
    }
    return text;
}

}  // namespace tmx
