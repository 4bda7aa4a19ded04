// problem.h -- the memory of one test case: inputs among poison, outputs among canaries.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cases.h"
#include "guarded_buffer.h"
#include "trianglemix/attention.h"

namespace tmx::test {

// The data of a case. Keys and values that no row of the call keeps are NaN, and so is everything else that no call
// needs: padding, and query rows in no segment.
struct problem {
    attention_args args;  // out and lse are null: see make_output
    std::vector<attention_segment> segments;
    guarded_buffer q;
    guarded_buffer k;
    guarded_buffer v;
    guarded_buffer mask;
    guarded_buffer sink_logit;
    guarded_buffer alibi_slope;
    guarded_buffer dense_head;
    std::vector<guarded_buffer> cells;  // one a segment that has a gather list
};

// Throws std::bad_alloc if the machine cannot map the buffers.
std::unique_ptr<problem> make_problem(const test_case & c);

// Writes one row of numbers, in the type's own format, from element `offset` on; a multiple of its block.
void store_row(guarded_buffer & buffer, dtype type, int64_t offset, const std::vector<float> & values);

// A fresh output, NaN everywhere, and `args` of the problem pointing to it.
struct call_output {
    attention_args args;
    guarded_buffer out;
    guarded_buffer lse;
};
call_output make_output(const test_case & c, const problem & p);

// Empty if every row of a segment was written with numbers, and nothing else was touched; else what and where.
std::string check_written(const test_case & c, const problem & p, const call_output & output);

}  // namespace tmx::test
