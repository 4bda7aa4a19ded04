#include "probe/attention_back.h"
#include "runtime/failure.h"
#include "trianglemix/attention.h"

namespace tmx {
namespace {

class cpu_probe_attention final : public probe_attention {
  public:
    explicit cpu_probe_attention(int32_t n_threads) : n_threads_(n_threads) { context_.n_threads = n_threads; }

    void forward(const probe_forward_args & wanted) override {
        const probe_attention_shape & s = wanted.shape;
        attention_args args;
        args.q = wanted.q;
        args.k = wanted.k;
        args.v = wanted.v;
        args.out = wanted.out;
        args.lse = wanted.lse;
        args.dense_head = wanted.dense_head;
        args.k_type = dtype::f32;
        args.v_type = dtype::f32;
        args.n_head = s.n_head;
        args.n_head_kv = s.n_head_kv;
        args.n_q = s.n;
        args.n_kv = s.n;
        args.d_qk = s.d;
        args.d_v = s.d;
        args.q_stride_head = args.k_stride_head = args.v_stride_head = args.out_stride_head = s.d;
        args.q_stride_row = args.out_stride_row = s.n_head * s.d;
        args.k_stride_row = args.v_stride_row = s.n_head_kv * s.d;
        args.scale = s.scale;
        std::vector<attention_segment> segments(wanted.segments.size());
        for (size_t i = 0; i < segments.size(); ++i) {
            segments[i].row_begin = segments[i].rank_begin = wanted.segments[i].rows.begin;
            segments[i].row_end = wanted.segments[i].rows.end;
            segments[i].kept = wanted.segments[i].kept;
        }
        const status result = attention_forward(args, segments, context_);
        if (!result.ok()) {
            throw failure(std::string("attention: ") + result.message());
        }
    }

    void backward(const probe_backward_args & args) override { attention_back(args, n_threads_); }

  private:
    int32_t n_threads_;
    cpu_context context_;
};

}  // namespace

std::unique_ptr<probe_attention> make_cpu_probe_attention(int32_t n_threads) {
    return std::make_unique<cpu_probe_attention>(n_threads);
}

}  // namespace tmx
