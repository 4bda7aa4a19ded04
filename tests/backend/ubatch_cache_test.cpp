// Ubatches that are classified once an evaluation, and what makes one another.
#include "backend/ubatch_cache.h"

#include <gtest/gtest.h>

#include "backend/evaluation.h"
#include "backend/runs/own_rows.h"
#include "fake_cache.h"

namespace tmx::test {
namespace {

// A ubatch that lies in memory; `seen` is what a second look finds there.
class fake_source final : public ubatch_source {
  public:
    fake_source(const fake_ubatch & ubatch, const fake_cache & cache) : now_(ubatch.view()), seen_(now_) {
        cells_.keys = cache.keys();
        learn_rows(now_, cells_.table, cells_.keys);
    }

    ubatch_inputs read() override {
        ++n_read;
        ubatch_inputs inputs;
        inputs.missing = missing;
        inputs.view = now_;
        return inputs;
    }
    const known_cells & cells() override { return cells_; }
    std::optional<ubatch_view> look_again(const ubatch_inputs &) override {
        return may_change ? std::optional(seen_) : std::nullopt;
    }

    int n_read = 0;
    bool may_change = true;
    std::optional<mask_reason> missing;

  private:
    ubatch_view now_;
    ubatch_view seen_;
    known_cells cells_;
};

class ubatch_cache_test : public testing::Test {
  protected:
    static ubatch_key key_of(const fake_ubatch & ubatch) {
        return {&k_mask, ubatch.n_stream, ubatch.n_rows, ubatch.n_kv};
    }

    static constexpr int k_mask = 0;  // its address stands for the mask's tensor
    statistics counters_;
    fake_cache cache_{256};
};

TEST_F(ubatch_cache_test, layers_with_one_mask_share_what_was_found) {
    const fake_ubatch ubatch = cache_.add_prompt(0, 40);
    fake_source source(ubatch, cache_);
    ubatch_cache cache(counters_);
    const known_ubatch & first = cache.of(key_of(ubatch), source);
    ASSERT_EQ(first.found.runs.size(), 1u);
    EXPECT_EQ(first.found.runs[0].rows(), 40);
    EXPECT_EQ(&cache.of(key_of(ubatch), source), &first);
    EXPECT_EQ(source.n_read, 1);
    EXPECT_EQ(counters_.read().ubatches, 1);

    ubatch_key narrower = key_of(ubatch);
    narrower.n_rows = 39;
    EXPECT_NE(&cache.of(narrower, source), &first);
    cache.clear();
    cache.of(key_of(ubatch), source);
    EXPECT_EQ(source.n_read, 3) << "nothing is known of the next evaluation";
}

TEST_F(ubatch_cache_test, another_ubatch_in_the_same_tensors_is_noticed) {
    const fake_ubatch ubatch = cache_.add_prompt(0, 40);
    fake_ubatch other = ubatch;
    other.hide_beyond(16);
    fake_source before(ubatch, cache_);
    fake_source after(other, cache_);
    ubatch_cache cache(counters_);
    const known_ubatch & first = cache.of(key_of(ubatch), before);
    const known_ubatch & second = cache.of(key_of(ubatch), after);
    EXPECT_NE(&first, &second);
    EXPECT_TRUE(first.found.masked.empty());
    EXPECT_FALSE(second.found.masked.empty());
    EXPECT_EQ(&cache.of(key_of(ubatch), before), &first);

    before.may_change = after.may_change = false;
    ubatch_cache told_apart(counters_);
    EXPECT_EQ(&told_apart.of(key_of(ubatch), before), &told_apart.of(key_of(ubatch), after))
        << "the caller says that nothing changes within an evaluation";
}

TEST_F(ubatch_cache_test, missing_inputs_make_all_rows_masked) {
    const fake_ubatch ubatch = cache_.add_prompt(0, 40);
    fake_source source(ubatch, cache_);
    source.missing = mask_reason::no_inputs;
    ubatch_cache cache(counters_);
    const known_ubatch & found = cache.of(key_of(ubatch), source);
    EXPECT_TRUE(found.found.runs.empty());
    ASSERT_EQ(found.found.masked.size(), 1u);
    EXPECT_EQ(found.found.masked[0].reason, mask_reason::no_inputs);
}

TEST_F(ubatch_cache_test, a_mask_that_contradicts_its_samples_is_found_out_and_no_longer_sampled) {
    fake_ubatch ubatch = cache_.add_prompt(0, 40);
    fake_source source(ubatch, cache_);
    ubatch_cache cache(counters_, 1);
    const known_ubatch & regular = cache.of(key_of(ubatch), source);
    EXPECT_NE(regular.check, nullptr) << "read whole while the device works";
    EXPECT_TRUE(cache.confirm_masks());
    cache.stop_checks();
    EXPECT_EQ(regular.check, nullptr);

    cache.clear();
    cache.of(key_of(ubatch), source);
    cache.stop_checks();  // reads no more, so the mask may change
    cache.clear();
    // An entry of a row that is not sampled, and is no first or last rank.
    ubatch.mask_at(3, 2) = ubatch_view::k_hidden;
    cache.of(key_of(ubatch), source);
    EXPECT_FALSE(cache.confirm_masks());
    cache.clear();
    const known_ubatch & whole = cache.of(key_of(ubatch), source);
    EXPECT_EQ(whole.check, nullptr);
    EXPECT_FALSE(whole.found.masked.empty());
}

TEST(evaluation_test, rising_layers_go_on) {
    evaluation current;
    EXPECT_FALSE(current.advance(0, 0));
    EXPECT_TRUE(current.advance(1, 3));
    EXPECT_TRUE(current.advance(4, 4));
    EXPECT_FALSE(current.advance(4, 4)) << "a layer again";
    EXPECT_FALSE(current.advance(5, 5, false));
    EXPECT_TRUE(current.advance(6, 6));
    current.end();
    EXPECT_FALSE(current.advance(7, 7));
    EXPECT_FALSE(current.advance(-1, -1)) << "no known layer";
    EXPECT_FALSE(current.advance(8, 8)) << "nothing goes on from such a one";
}

}  // namespace
}  // namespace tmx::test
