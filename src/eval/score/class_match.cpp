#include "eval/score/class_match.h"

#include <algorithm>

namespace tmx {

double class_match(std::string_view prediction, std::string_view answer, const std::vector<std::string> & classes) {
    std::vector<std::string_view> named;
    for (const std::string & one : classes) {
        if (prediction.find(one) != std::string_view::npos) {
            named.push_back(one);
        }
    }
    for (size_t i = 0; i < named.size(); ++i) {
        if (named[i] != answer && answer.find(named[i]) != std::string_view::npos) {
            // list.remove() takes the first that is equal.
            named.erase(std::find(named.begin(), named.end(), named[i]));
        }
    }
    const bool right = std::find(named.begin(), named.end(), answer) != named.end();
    return right ? 1.0 / static_cast<double>(named.size()) : 0.0;
}

}  // namespace tmx
