// trianglemix/expert_products.h -- the products of a mixture of experts: each row of the result is a token's row times
// the weights of one of the experts that the router chose for it.
#pragma once

#include <cstdint>
#include <memory>

#include "trianglemix/products.h"

namespace tmx {

// What the router chose. Non-owning.
struct expert_choice {
    const int32_t * experts = nullptr;  // [n_tokens, n_slots]
    int64_t token_stride = 0;           // elements
    int64_t n_tokens = 0;
    int64_t n_slots = 0;    // experts of a token
    int64_t n_experts = 0;  // that there are
};

// Non-owning. `first` is the product of all tokens in slot 0 with the first expert; its n_rows is not read.
struct expert_product_args {
    product_args first;
    expert_choice choice;
    int64_t expert_stride_bytes = 0;  // from an expert's weights to the next one's
    int64_t row_slot_stride = 0;      // elements; 0: a token's slots share its row
    int64_t out_slot_stride = 0;      // elements
};

// Scratch of one caller beside a product_context's, kept between calls. One call at a time.
class expert_context {
  public:
    expert_context() noexcept;
    ~expert_context();
    expert_context(const expert_context &) = delete;
    expert_context & operator=(const expert_context &) = delete;

    struct scratch;
    std::unique_ptr<scratch> memory;  // private to the code
};

// Rows copied at a time. The weights of an expert that has more are read and decoded once for as many.
constexpr int64_t k_expert_stretch = 1024;

// KEEPS    out of each token and slot, as multiply_rows() computes the row; nothing else is written.
// REQUIRES as multiply_rows().
// NUMERICS The same bits as multiply_rows() of the row with its expert, for any number of threads.
// COST     Each expert's rows are copied together, multiplied, and copied to where they belong. Scratch: f32 values of
//          k_expert_stretch rows and results, a few words a row, and the product_context's for as many.
// ERRORS   as multiply_rows(), and invalid_argument: an expert that there is not. `out` is unchanged, but where memory
//          runs out some of it may have been written.
// THREADS  Reentrant with distinct out and contexts.
status multiply_expert_rows(const expert_product_args & args, product_context & products,
                            expert_context & experts) noexcept;

}  // namespace tmx
