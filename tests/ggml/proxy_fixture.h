// The GPU proxy's tests share a fixture: a proxy in front of a GPU that is none.
#pragma once

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "backend/settings.h"
#include "device_fixture.h"
#include "fake_gpu.h"
#include "glue/proxy/proxy_device.h"
#include "steps.h"

namespace tmx::test {

class proxy_test : public device_fixture {
  protected:
    void SetUp() override {
        device_fixture::SetUp();
        apply({});
    }

    static void apply(backend_config config) {
        config.min_keys = 1;  // these graphs are small
        device_fixture::apply(config);
    }

    static void apply_plan(const std::vector<int> & layers, bool strict = false) {
        apply(with_plan(triangle_plan(layers), strict));
    }

    // Everything that backend_test checks of the CPU device in one go: chunks, users mixed, cells out of order.
    static std::vector<step> busy_steps(fake_cache & cache) {
        std::vector<step> steps;
        steps.push_back(prompt_step(cache, 0, 120, last_rows(120)));
        steps.push_back(mixed_step(cache, {{0, 1}, {1, 70}, {2, 49}},
                                   [](int64_t row) { return row < 1 || (row >= 55 && row < 71) || row >= 104; }));
        std::vector<int32_t> cells = cell_range(400, 460);
        const std::vector<int32_t> lower = cell_range(300, 360);
        cells.insert(cells.end(), lower.begin(), lower.end());
        cache.force_cells(cells);
        steps.push_back(prompt_step(cache, 3, 120, last_rows(120)));
        cache.force_cells({});
        steps.push_back(mixed_step(cache, {{1, 1}, {2, 80}, {0, 39}},
                                   [](int64_t row) { return row < 1 || (row >= 65 && row < 81) || row >= 104; }));
        return steps;
    }

    fake_gpu gpu_;
    executor_faults faults_;
    proxy_device proxy_{nullptr, candidate_for(gpu_, &faults_)};
};

}  // namespace tmx::test
