#include "steps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "nmse.h"

namespace tmx::test {

dense_row last_rows(int64_t n_rows) {
    return [n_rows](int64_t row) { return row >= n_rows - k_shape.n_last; };
}

fake_ubatch spelled_out(fake_ubatch ubatch, const fake_cache & cache, const dense_row & dense, int64_t window) {
    for (int64_t row = 0; row < ubatch.n_rows; ++row) {
        const int32_t i = ubatch.positions[static_cast<size_t>(row)];
        for (int64_t cell = 0; cell < ubatch.n_kv && !dense(row); ++cell) {
            const int32_t j = cache.cells()[static_cast<size_t>(cell)].position;
            if (ubatch.visible(0, row, cell) && !(j < k_shape.n_sink || i - j < window)) {
                ubatch.mask_at(row, cell) = ubatch_view::k_hidden;
            }
        }
    }
    return ubatch;
}

step prompt_step(fake_cache & cache, int32_t user, int64_t n_rows, const dense_row & dense, bool output) {
    fake_ubatch ubatch = cache.add_prompt(user, n_rows, output);
    return {ubatch, std::vector<int32_t>(static_cast<size_t>(n_rows), user), dense, cache};
}

step mixed_step(fake_cache & cache, const std::vector<std::pair<int32_t, int>> & parts, const dense_row & dense) {
    std::vector<fake_row> rows;
    std::vector<int32_t> users;
    for (const auto & [user, n] : parts) {
        rows.insert(rows.end(), static_cast<size_t>(n), {user, false});
        users.insert(users.end(), static_cast<size_t>(n), user);
    }
    rows.back().output = true;
    return {cache.add(rows), users, dense, cache};
}

void check_steps(ggml_backend_dev_t device, const mini_shape & shape, const std::vector<step> & steps,
                 const std::vector<int> & triangle, int64_t n_output) {
    const int64_t n_rows = steps.front().ubatch.n_rows;
    const int64_t n_cells = steps.front().ubatch.n_kv;
    mini_model tested(shape, n_rows, n_cells, n_output, device);
    mini_model exact(shape, n_rows, n_cells, n_output, nullptr);
    mini_model sparse(shape, n_rows, n_cells, n_output, nullptr);
    EXPECT_EQ(tested.n_ours(), shape.n_layer);
    for (size_t s = 0; s < steps.size(); ++s) {
        SCOPED_TRACE("step " + std::to_string(s));
        const step & now = steps[s];
        ASSERT_TRUE(tested.compute(now.ubatch, now.users));
        ASSERT_TRUE(exact.compute(now.ubatch, now.users));
        ASSERT_TRUE(sparse.compute(spelled_out(now.ubatch, now.after, now.dense), now.users));
        for (int layer = 0; layer < shape.n_layer; ++layer) {
            SCOPED_TRACE("layer " + std::to_string(layer));
            const bool is_triangle = std::find(triangle.begin(), triangle.end(), layer) != triangle.end();
            const mini_model & reference = is_triangle ? sparse : exact;
            EXPECT_LT(nmse(tested.output(layer), reference.output(layer)), k_same);
        }
    }
}

}  // namespace tmx::test
