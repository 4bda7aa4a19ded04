// The rival's place in a build without oneDNN.
#include "onednn_product.h"

namespace tmx::bench {

struct onednn_product::state {};

onednn_product::~onednn_product() = default;

std::string onednn_product::version() {
    return {};
}

std::unique_ptr<onednn_product> onednn_product::create(const product_shape &, onednn_arithmetic, std::span<const float>,
                                                       std::span<const float>, int) {
    return nullptr;
}

double onednn_product::creation_seconds() const {
    return 0;
}

bool onednn_product::run(bool) {
    return false;
}

std::span<const float> onednn_product::output() const {
    return {};
}

}  // namespace tmx::bench
