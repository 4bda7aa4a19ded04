// The host's side of the probe's attention on an NVIDIA GPU: memory there, copies, launches. The CUDA runtime is linked
// in statically and loads the driver when it is first asked.
#include <cuda_runtime_api.h>

#include <string>
#include <vector>

#include "cuda_device/device.h"
#include "probe/cuda/probe_kernels.h"
#include "probe/cuda/row_plan.h"
#include "probe/probe_attention.h"
#include "runtime/failure.h"

namespace tmx {
namespace cuda_probe {
namespace {

void check(cudaError_t error, const std::string & doing) {
    if (error != cudaSuccess) {
        static_cast<void>(cudaGetLastError());
        throw failure("attention of the probe on the GPU: " + doing + ": " + cudaGetErrorString(error));
    }
}

// Device memory that grows and stays. Its device must be current.
template <typename value>
class device_array {
  public:
    explicit device_array(const char * name) : name_(name) {}
    ~device_array() { cudaFree(data_); }
    device_array(const device_array &) = delete;
    device_array & operator=(const device_array &) = delete;

    value * reserve(int64_t n) {
        if (n > capacity_) {
            cudaFree(data_);
            data_ = nullptr;
            capacity_ = 0;
            check(cudaMalloc(&data_, bytes_of(n)), std::to_string(bytes_of(n)) + " bytes for " + name_);
            capacity_ = n;
        }
        return static_cast<value *>(data_);
    }
    const value * upload(const value * from, int64_t n) {
        value * to = reserve(n);
        check(cudaMemcpy(to, from, bytes_of(n), cudaMemcpyHostToDevice), "copying " + name_ + " to the device");
        return to;
    }
    void download(value * to, int64_t n) const {
        check(cudaMemcpy(to, data_, bytes_of(n), cudaMemcpyDeviceToHost), "computing " + name_);
    }

  private:
    static size_t bytes_of(int64_t n) { return static_cast<size_t>(n) * sizeof(value); }

    std::string name_;
    void * data_ = nullptr;
    int64_t capacity_ = 0;
};

class cuda_probe_attention final : public probe_attention {
  public:
    explicit cuda_probe_attention(int device) : device_(device) {}
    ~cuda_probe_attention() override {
        const cuda::device_scope scope(device_);
        memory_.reset();
    }

    void forward(const probe_forward_args & args) override {
        const probe_attention_shape & s = args.shape;
        const int64_t n_rows = s.n * s.n_head * s.d;
        const int64_t n_keys = s.n * s.n_head_kv * s.d;
        const cuda::device_scope scope(device_);
        check(scope.error(), "choosing the device");
        arrays & m = *memory_;
        const row_plan plan = plan_rows(args.segments, s.n);
        forward_params p;
        p.shape = s;
        p.q = m.q.upload(args.q, n_rows);
        p.k = m.k.upload(args.k, n_keys);
        p.v = m.v.upload(args.v, n_keys);
        p.out = m.out.reserve(n_rows);
        p.lse = args.lse != nullptr ? m.lse.reserve(s.n_head * s.n) : nullptr;
        p.kept = m.kept.upload(plan.kept.data(), s.n);
        p.first_range = m.first_range.upload(plan.first_range.data(), std::ssize(plan.first_range));
        p.ranges = m.ranges.upload(plan.ranges.data(), std::ssize(plan.ranges));
        p.dense_head = args.dense_head != nullptr ? m.dense_head.upload(args.dense_head, s.n_head) : nullptr;
        check(launch_forward(p), "starting the forward pass");
        m.out.download(args.out, n_rows);
        if (args.lse != nullptr) {
            m.lse.download(args.lse, s.n_head * s.n);
        }
    }

    void backward(const probe_backward_args & args) override {
        const probe_attention_shape & s = args.shape;
        const int64_t n_rows = s.n * s.n_head * s.d;
        const int64_t n_keys = s.n * s.n_head_kv * s.d;
        const int64_t n_tiles = tiles_of(s.n);
        const cuda::device_scope scope(device_);
        check(scope.error(), "choosing the device");
        arrays & m = *memory_;
        backward_params p;
        p.shape = s;
        p.q = m.q.upload(args.q, n_rows);
        p.k = m.k.upload(args.k, n_keys);
        p.v = m.v.upload(args.v, n_keys);
        p.out = m.out.upload(args.out, n_rows);
        p.lse = m.lse.upload(args.lse, s.n_head * s.n);
        p.d_out = m.d_out.upload(args.d_out, n_rows);
        p.dots = m.dots.reserve(s.n_head * s.n);
        p.dq = m.dq.reserve(n_rows);
        p.dk = m.dk.reserve(n_keys);
        p.dv = m.dv.reserve(n_keys);
        p.sums = m.sums.reserve(s.n_head * n_tiles * k_head_sums);
        p.streaming = {args.sections.n_sink, args.sections.n_window};
        p.last_begin = larger(s.n - args.sections.n_last, 0);
        check(launch_backward(p), "starting the reverse pass");
        m.dq.download(args.dq, n_rows);
        m.dk.download(args.dk, n_keys);
        m.dv.download(args.dv, n_keys);
        std::vector<double> sums(static_cast<size_t>(s.n_head * n_tiles * k_head_sums));
        m.sums.download(sums.data(), std::ssize(sums));
        const double * tile = sums.data();
        for (int64_t head = 0; head < s.n_head; ++head) {
            args.sums[head] = {};
            for (int64_t t = 0; t < n_tiles; ++t) {
                for (section_sums & of_section : args.sums[head]) {
                    of_section += {tile[0], tile[1], tile[2], tile[3]};
                    tile += k_sums;
                }
            }
        }
    }

  private:
    struct arrays {
        device_array<float> q{"q"}, k{"k"}, v{"v"}, out{"out"}, lse{"lse"}, d_out{"d_out"}, dots{"dots"}, dq{"dq"},
            dk{"dk"}, dv{"dv"};
        device_array<double> sums{"the sections' sums"};
        device_array<kept_row> kept{"rows"};
        device_array<int32_t> first_range{"rows' tiles"};
        device_array<tile_range> ranges{"tiles"};
        device_array<uint8_t> dense_head{"dense heads"};
    };

    int device_;
    std::unique_ptr<arrays> memory_ = std::make_unique<arrays>();  // freed with the device current
};

}  // namespace
}  // namespace cuda_probe

std::unique_ptr<probe_attention> make_cuda_probe_attention(const char * pci_address) {
    const int device = cuda::device_at(pci_address);
    cuda::compute_capability capability;
    if (device < 0 || cuda::read_capability(device, capability) != cudaSuccess || !capability.covered()) {
        return nullptr;
    }
    return std::make_unique<cuda_probe::cuda_probe_attention>(device);
}

}  // namespace tmx
