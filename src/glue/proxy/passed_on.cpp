#include "glue/proxy/passed_on.h"

#include "glue/abi.h"

namespace tmx {

void passed_on_notes::note(const char * reason, const char * why) const {
    const std::string text = *why != '\0' ? std::string(reason) + ": " + why : reason;
    if (statistics_.count_passed_on(text) && *why != '\0') {
        GGML_LOG_WARN("TriangleMix: %s: attention is left to the wrapped device (%s)\n", device_.c_str(), text.c_str());
    }
}

void passed_on_notes::note_feed_forward(const char * why) const {
    if (statistics_.count_passed_on_feed_forward(why)) {
        GGML_LOG_INFO("TriangleMix: %s: a feed-forward block is left to the wrapped device: %s\n", device_.c_str(),
                      why);
    }
}

const char * failure_name(const status & failed) {
    switch (failed.code()) {
        case status_code::out_of_memory:
            return "out_of_memory";
        case status_code::unsupported:
            return "unsupported";
        default:
            return "device_error";
    }
}

}  // namespace tmx
