// cases.h -- one list of attention calls for every kernel: awkward shapes, and seeded random ones.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "trianglemix/attention.h"

namespace tmx::test {

// How a tensor [batch, head, row, dim] lies in memory.
enum class layout : uint8_t {
    head_major,   // as written
    token_major,  // rows outside heads: llama.cpp's key/value cache, and its queries
    padded,       // head-major with unused elements after every row, head and batch
    huge,         // token-major, rows 2^31 elements and more apart, in address space that is mostly never touched
};

// Which cell of the key axis holds each rank of a ranked segment.
enum class cell_order : uint8_t { stretch, shuffled, two_pieces };

enum class mask_kind : uint8_t {
    none,
    causal,      // row r sees keys up to n_kv - n_q + r
    random,      // half of the keys, with finite values of either sign
    sparse,      // one key in sixteen; every third row sees none
    alibi,       // causal, minus the distance; usually with slopes
    far_gap,     // causal, but the keys of the middle are seen by nobody (and poisoned)
    all_dropped  // no row sees a key
};

struct case_segment {
    attention_segment rows;  // cells is filled in by make_problem
    cell_order order = cell_order::stretch;
};

// Keys [first_rank, end_rank) of a case of one segment whose logits are about so high for every row; those of keys that
// no stretch names are about 0.
struct planted_keys {
    int64_t first_rank = 0;
    int64_t end_rank = 0;
    float logit = 0;
    bool poisoned = false;  // their values are NaN: nobody may read them
};

struct test_case {
    std::string name;  // letters, digits and underscores
    int64_t n_batch = 1;
    int64_t n_head = 4;
    int64_t n_head_kv = 2;
    int64_t n_q = 0;
    int64_t n_kv = 0;
    int64_t d_qk = 64;
    int64_t d_v = 64;
    dtype k_type = dtype::f16;
    dtype v_type = dtype::f16;
    layout q_layout = layout::token_major;
    layout kv_layout = layout::token_major;
    std::vector<case_segment> segments;
    mask_kind mask = mask_kind::none;
    bool mask_per_head = false;
    bool mask_per_batch = true;
    bool alibi_slopes = false;
    bool sink_logits = false;
    bool dense_heads = false;  // every second head, starting with the second
    bool lse = true;
    float softcap = 0;
    float scale_factor = 1;  // times 1 / sqrt(d_qk)
    float query_gain = 1;    // logits have about this standard deviation
    std::vector<planted_keys> planted;
    int64_t loud_key = -1;  // index on the key axis of a key and value hundreds of times larger than the others
    int64_t row_step = 1;   // check every row_step-th row only
    uint64_t seed = 1;
};

// The fixed cases, then the random ones. The environment changes it:
//   TMX_TEST_SEED     seed of the random cases (default 20250711)
//   TMX_TEST_RANDOM   how many of them (default 60)
//   TMX_TEST_REDUCED  1: only cases of little work; for sanitizers and emulators
std::vector<test_case> all_cases();
uint64_t test_seed();

// Fixed or random cases by name, whatever the environment leaves out. Throws std::out_of_range for an unknown name.
std::vector<test_case> cases_named(const std::vector<std::string> & names);

// Query-key pairs times heads times dims, at most: what a case costs the oracle.
double case_work(const test_case & c);

// What GoogleTest prints for a case.
inline void PrintTo(const test_case & c, std::ostream * out) {
    *out << c.name;
}

// The shell line, run from the build folder, that repeats one case with one kernel.
std::string rerun_line(const test_case & c, const char * kernel);

}  // namespace tmx::test
