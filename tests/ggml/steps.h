// Ubatches of a simulated server with what a triangle layer makes of them, and the check of a device against them.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "mini_model.h"
#include "trianglemix/geometry.h"

namespace tmx::test {

// Of every plan of these tests.
constexpr triangle_shape k_shape{.n_sink = 4, .n_window = 24, .n_last = 16};

// Both sides compute in f32 from the same f16 keys and values; the bound of stock test-backend-ops is 5e-4.
constexpr double k_same = 1e-6;
constexpr double k_other = 1e-3;

using dense_row = std::function<bool(int64_t row)>;

dense_row last_rows(int64_t n_rows);
const inline dense_row k_every_row = [](int64_t) { return true; };

// The ubatch's mask with what a triangle layer drops taken out, from the definition: positions, not ranks.
fake_ubatch spelled_out(fake_ubatch ubatch, const fake_cache & cache, const dense_row & dense,
                        int64_t window = k_shape.n_window);

struct step {
    fake_ubatch ubatch;
    std::vector<int32_t> users;
    dense_row dense;   // which rows a triangle layer keeps dense
    fake_cache after;  // the cache once the ubatch is in it
};

step prompt_step(fake_cache & cache, int32_t user, int64_t n_rows, const dense_row & dense, bool output = true);
step mixed_step(fake_cache & cache, const std::vector<std::pair<int32_t, int>> & parts, const dense_row & dense);

// One graph for all steps, as llama.cpp reuses it, on `device`. Triangle layers are held against the spelled-out mask,
// others against the ubatch's own.
void check_steps(ggml_backend_dev_t device, const mini_shape & shape, const std::vector<step> & steps,
                 const std::vector<int> & triangle, int64_t n_output = 1);

}  // namespace tmx::test
