// device_problem.h -- a test problem on the device, and a test that runs once for each CUDA kernel the device has.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "compare.h"
#include "device.h"
#include "problem.h"

namespace tmx::test {

// The parameter is the kernel's name.
class cuda_kernel_test : public testing::TestWithParam<const char *> {
  protected:
    void SetUp() override {
        if (const std::string missing = no_device(); !missing.empty()) {
            GTEST_SKIP() << missing;
        }
        ASSERT_TRUE(cuda_context::create(0, ctx).ok());
        if (!ctx->force_kernel(GetParam()).ok()) {
            GTEST_SKIP() << "this GPU cannot run " << GetParam();
        }
    }
    std::unique_ptr<cuda_context> ctx;
};

// A problem's buffers on the device.
struct device_problem {
    device_problem(const problem & p, const call_output & output)
        : q(p.q.data(), p.q.size()),
          k(p.k.data(), p.k.size()),
          v(p.v.data(), p.v.size()),
          out(output.out.data(), output.out.size()),
          lse(output.lse.data(), output.lse.size()),
          sink_logit(p.sink_logit.data(), p.sink_logit.size()),
          args(output.args) {
        args.q = static_cast<const float *>(q.data());
        args.k = k.data();
        args.v = v.data();
        args.out = static_cast<float *>(out.data());
        args.lse = output.args.lse != nullptr ? static_cast<float *>(lse.data()) : nullptr;
        args.sink_logit = p.args.sink_logit != nullptr ? static_cast<const float *>(sink_logit.data()) : nullptr;
    }
    // Waits for the device; false if memory beside an output was written.
    bool fetch(call_output & output) {
        check_cuda(cudaDeviceSynchronize(), "attention");
        return out.fetch(output.out.data()) && lse.fetch(output.lse.data());
    }
    device_copy q, k, v, out, lse, sink_logit;
    attention_args args;
};

inline rounding operands_of(const test_case & c) {
    return c.k_type == dtype::bf16 ? rounding::bf16 : rounding::f16;
}

}  // namespace tmx::test
