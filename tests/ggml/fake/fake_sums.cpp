// The sums of a tensor split over fake devices.
#include <algorithm>
#include <string_view>
#include <vector>

#include "fake_gpu.h"

namespace tmx::test {
namespace {

struct fake_communication {
    std::vector<ggml_backend_t> backends;
};

void * init(ggml_backend_t * backends, size_t n) {
    const bool all_fake = std::all_of(backends, backends + n, [](ggml_backend_t each) {
        return std::string_view(ggml_backend_reg_name(ggml_backend_dev_backend_reg(ggml_backend_get_device(each)))) ==
               "FAKE";
    });
    return all_fake ? new fake_communication{{backends, backends + n}} : nullptr;
}

void release(void * context) {
    delete static_cast<fake_communication *>(context);
}

bool allreduce(void * context, ggml_tensor ** tensors) {
    const auto & all = static_cast<fake_communication *>(context)->backends;
    std::for_each(all.begin(), all.end(), ggml_backend_synchronize);
    std::vector<float> sum(static_cast<size_t>(ggml_nelements(tensors[0])));
    for (size_t i = 0; i < all.size(); ++i) {
        // A device without heads of the layer has computed nothing.
        const auto * values = static_cast<const float *>(tensors[i]->data);
        for (size_t j = 0; j < sum.size() && (tensors[i]->flags & GGML_TENSOR_FLAG_COMPUTE) != 0; ++j) {
            sum[j] += values[j];
        }
    }
    for (size_t i = 0; i < all.size(); ++i) {
        std::copy(sum.begin(), sum.end(), static_cast<float *>(tensors[i]->data));
        static_cast<fake_gpu *>(ggml_backend_get_device(all[i])->context)->n_sums++;
    }
    return true;
}

}  // namespace

void * fake_sums_address(ggml_backend_reg_t, const char * name) {
    const std::string_view asked(name);
    return asked == "ggml_backend_comm_init"               ? reinterpret_cast<void *>(&init)
           : asked == "ggml_backend_comm_free"             ? reinterpret_cast<void *>(&release)
           : asked == "ggml_backend_comm_allreduce_tensor" ? reinterpret_cast<void *>(&allreduce)
                                                           : nullptr;
}

}  // namespace tmx::test
