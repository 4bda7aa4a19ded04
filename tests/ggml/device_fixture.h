// What the tests of both devices start from: the process's settings and counters as at load, for each test anew.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "backend/backend_config.h"
#include "backend/settings.h"
#include "mini_model.h"

namespace tmx::test {

// k_shape in these layers, the others dense; as many layers as the last of them needs.
plan triangle_plan(const std::vector<int> & layers, tail_policy tail = tail_policy::chunk);
backend_config with_plan(plan p, bool strict = false);

class device_fixture : public testing::Test {
  protected:
    static void SetUpTestSuite();
    void SetUp() override;

    // The process's settings, and those of every model that there is.
    static void apply(const backend_config & config);

    static nlohmann::json stats();  // of all contexts
    static nlohmann::json stats(const mini_model & model);
    // Settings of a context that exists.
    static settings & settings_of(const mini_model & model);
};

}  // namespace tmx::test
