// The products of a mixture of experts: each row of the result is a token's times the weights of one of its experts.
#pragma once

#include <cstdint>
#include <memory>

#include "products/expert_rows.h"
#include "trianglemix/products.h"

namespace tmx {

// Non-owning. `first` is the product of all tokens in slot 0 with the first expert; its n_rows is not read.
struct expert_product_args {
    product_args first;
    expert_choice choice;
    int64_t expert_stride_bytes = 0;  // from an expert's weights to the next one's
    int64_t row_slot_stride = 0;      // elements; 0: a token's slots share its row
    int64_t out_slot_stride = 0;      // elements
};

// Scratch of one caller, kept between calls. One call at a time.
class expert_products {
  public:
    // KEEPS    out of each token and slot, as multiply_rows() computes the row; nothing else is written.
    // REQUIRES as multiply_rows().
    // NUMERICS The same bits as multiply_rows() of the row with its expert, for any number of threads.
    // COST     Each expert's rows are copied together, multiplied, and copied to where they belong. Scratch:
    //          k_stretch rows of `depth` and of `n_columns` f32 values, and the context's for as many.
    // ERRORS   as multiply_rows(), and invalid_argument: an expert that there is not. `out` is unchanged, but where
    //          memory runs out some of it may have been written.
    status multiply(const expert_product_args & args, product_context & context) noexcept;

    // Rows copied at a time. Where an expert has more, its weights are read and decoded once for as many.
    static constexpr int64_t k_stretch = 1024;

  private:
    void reserve(const product_args & args, int64_t n_rows);
    void gather(const expert_product_args & args, int64_t begin, int64_t end, int n_threads);
    void scatter(const expert_product_args & args, int64_t begin, int64_t end, int n_threads) const;

    expert_rows rows_;
    std::unique_ptr<float[]> in_;  // [stretch, depth]
    std::unique_ptr<float[]> out_;  // [stretch, n_columns]
    int64_t in_elems_ = 0;
    int64_t out_elems_ = 0;
};

}  // namespace tmx
