// Which calls the CUDA kernels cover, by shape alone.
#include "trianglemix/cuda_attention.h"

namespace tmx {

const char * cuda_declines(const attention_args & args) noexcept {
    constexpr int64_t k_most = int64_t{1} << 30;
    const auto good_dim = [](int64_t d) { return d >= 16 && d <= 256 && d % 16 == 0; };
    const auto staged_dim = [](int64_t d, dtype type) { return d % block_elems(type) == 0; };
    if (args.k_type == dtype::f32 || args.v_type == dtype::f32) {
        return "f32 keys or values";
    }
    if ((args.k_type == dtype::bf16) != (args.v_type == dtype::bf16)) {
        return "bf16 mixed with another type of keys or values";
    }
    if (!good_dim(args.d_qk) || !good_dim(args.d_v)) {
        return "head dimension is not a multiple of 16 in 16..256";
    }
    if (!staged_dim(args.d_qk, args.k_type) || !staged_dim(args.d_v, args.v_type)) {
        return "head dimension is not a multiple of the type's block";
    }
    if (args.n_head < 1 || args.n_head_kv < 1 || args.n_head % args.n_head_kv != 0) {
        return "query heads are not a multiple of key heads";
    }
    if (args.logit_softcap > 0) {
        return "logit softcap";
    }
    if (args.sink_logit != nullptr) {
        return "sink logits";
    }
    if (args.alibi_slope != nullptr) {
        return "ALiBi slopes";
    }
    if (args.n_q >= k_most || args.n_kv >= k_most || args.n_head >= k_most || args.n_batch >= k_most) {
        return "2^30 rows, keys, heads or streams, or more";
    }
    return nullptr;
}

}  // namespace tmx
