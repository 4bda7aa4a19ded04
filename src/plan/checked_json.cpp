#include "plan/checked_json.h"

#include <stdexcept>
#include <string>
#include <unordered_set>
#include <vector>

#include "plan/quote.h"

namespace tmx {
namespace {

// Thrown by the callback below to leave the JSON library's parser, and caught in this file.
struct refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Watches the parser's events, so that nothing is built past a limit.
class guard {
  public:
    guard(size_t max_depth, size_t max_values) : max_depth_(max_depth), max_values_(max_values) {}

    bool operator()(json::parse_event_t event, const json & value) {
        switch (event) {
            case json::parse_event_t::object_start:
            case json::parse_event_t::array_start:
                count_value();
                keys_.emplace_back();
                if (keys_.size() > max_depth_) {
                    throw refused("objects and arrays are nested deeper than " + std::to_string(max_depth_));
                }
                break;
            case json::parse_event_t::object_end:
            case json::parse_event_t::array_end:
                keys_.pop_back();
                break;
            case json::parse_event_t::key: {
                const auto & key = value.get_ref<const std::string &>();
                if (!keys_.back().insert(key).second) {
                    throw refused("key " + quote(key) + " appears twice in one object");
                }
                break;
            }
            case json::parse_event_t::value:
                count_value();
                break;
        }
        return true;
    }

  private:
    void count_value() {
        if (++n_values_ > max_values_) {
            throw refused("more than " + std::to_string(max_values_) + " values");
        }
    }

    size_t max_depth_;
    size_t max_values_;
    size_t n_values_ = 0;
    std::vector<std::unordered_set<std::string>> keys_;  // [open objects and arrays]
};

// The library's texts start with an identifier in brackets that helps nobody here, and quote the input as it is.
std::string plain_reason(std::string_view what) {
    const size_t bracket = what.find("] ");
    if (what.substr(0, 1) == "[" && bracket != std::string_view::npos) {
        what.remove_prefix(bracket + 2);
    }
    std::string reason;
    for (const char c : what.substr(0, 200)) {
        reason += c >= 0x20 && c < 0x7f ? c : '?';
    }
    return reason;
}

}  // namespace

parsed<json> parse_checked_json(std::string_view text, size_t max_depth, size_t max_values) {
    guard watch(max_depth, max_values);
    const json::parser_callback_t callback = [&](int, json::parse_event_t event, const json & value) {
        return watch(event, value);
    };
    try {
        return {json::parse(text.begin(), text.end(), callback), ""};
    } catch (const refused & reason) {
        return {json(), reason.what()};
    } catch (const json::exception & reason) {
        return {json(), "not valid JSON: " + plain_reason(reason.what())};
    }
}

}  // namespace tmx
