// What is noted of the host's writes to a graph's inputs, and of where they were laid out.
#include "glue/buffers/input_writes.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "proxy_fixture.h"

namespace tmx::test {
namespace {

ggml_tensor named(const std::string & name) {
    ggml_tensor tensor{};
    ggml_set_name(&tensor, name.c_str());
    return tensor;
}

std::string original(const std::string & name) {
    const ggml_tensor tensor = named(name);
    return std::string(original_name(&tensor));
}

TEST(original_name_test, is_what_stands_between_the_marks) {
    EXPECT_EQ(original("RPC0[10.0.0.2:50052]#out_ids#0"), "out_ids");
    EXPECT_EQ(original("out_ids"), "out_ids");
    EXPECT_EQ(original("CUDA0#leaf_5#1"), "leaf_5");
    EXPECT_EQ(original("a#b"), "a#b") << "no copy's name";
    EXPECT_EQ(original("Meta(TriangleMix0,TriangleMix1,TriangleMix2,TriangleMix3)#out_ids#0"), "out_i")
        << "63 bytes are all that a name has";
}

TEST(original_name_test, output_rows_are_known_by_a_part_of_their_name) {
    const auto known = [](const std::string & name) {
        const ggml_tensor tensor = named(name);
        return names_output_ids(&tensor);
    };
    EXPECT_TRUE(known("out_ids"));
    EXPECT_TRUE(known("Meta(TriangleMix0,TriangleMix1)#out_ids#0"));
    EXPECT_TRUE(known("Meta(TriangleMix0,TriangleMix1,TriangleMix2,TriangleMix3)#out_ids#0"));
    EXPECT_FALSE(known("Meta(TriangleMix0,TriangleMix1,TriangleMix2,TriangleMix3,CUDA)#out_ids#0"))
        << "no letter of it is left";
    EXPECT_FALSE(known("out_i")) << "a name that was not cut";
    EXPECT_FALSE(known("CUDA0#out_embd#0"));
}

// A graph's inputs in a buffer of the fake device, without a graph.
class input_writes_test : public proxy_test {
  protected:
    void SetUp() override {
        proxy_test::SetUp();
        buffer_ = ggml_backend_buft_alloc_buffer(proxy_.buffer_type(), 4096);
        ggml_backend_buffer_set_usage(buffer_, GGML_BACKEND_BUFFER_USAGE_COMPUTE);
    }
    void TearDown() override {
        ggml_backend_buffer_free(buffer_);
        ggml_free(context_);
    }

    // As a graph allocator does it.
    ggml_tensor * lay_out(const char * name, size_t offset, int64_t n = 4) {
        ggml_tensor * tensor = ggml_new_tensor_1d(context_, GGML_TYPE_I32, n);
        ggml_set_name(tensor, name);
        EXPECT_EQ(ggml_backend_tensor_alloc(buffer_, tensor,
                                            static_cast<char *>(ggml_backend_buffer_get_base(buffer_)) + offset),
                  GGML_STATUS_SUCCESS);
        return tensor;
    }

    static void write(ggml_tensor * tensor, int32_t value) {
        const std::vector<int32_t> values(static_cast<size_t>(ggml_nelements(tensor)), value);
        ggml_backend_tensor_set(tensor, values.data(), 0, ggml_nbytes(tensor));
    }

    static int32_t written(const ggml_tensor * tensor) {
        std::vector<int32_t> values(static_cast<size_t>(ggml_nelements(tensor)));
        return get_written(tensor, reinterpret_cast<std::byte *>(values.data())) ? values.back() : -1;
    }

    ggml_context * context_ = ggml_init({size_t{1} << 16, nullptr, true});
    ggml_backend_buffer_t buffer_ = nullptr;
};

TEST_F(input_writes_test, a_write_is_one_tensors) {
    ggml_tensor * a = lay_out("a", 0);
    ggml_tensor * b = lay_out("b", 256);
    const uint64_t before_a = last_write_of(a);
    const uint64_t before_b = last_write_of(b);
    EXPECT_NE(before_a, 0u);
    write(a, 1);
    EXPECT_NE(last_write_of(a), before_a);
    EXPECT_EQ(last_write_of(b), before_b);
    ggml_backend_buffer_clear(buffer_, 0);
    EXPECT_NE(last_write_of(b), before_b);
}

TEST_F(input_writes_test, what_was_written_is_known_until_the_graph_is_computed) {
    ggml_tensor * a = lay_out("a", 0);
    EXPECT_EQ(written(a), -1);
    write(a, 7);
    EXPECT_EQ(written(a), 7);
    const int32_t part = 8;
    ggml_backend_tensor_set(a, &part, 0, sizeof(part));
    EXPECT_EQ(written(a), -1) << "only a part of it";
    write(a, 9);
    note_computation(buffer_);
    EXPECT_EQ(written(a), -1);
}

TEST_F(input_writes_test, weights_and_caches_are_not_kept) {
    ggml_backend_buffer_set_usage(buffer_, GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
    ggml_tensor * a = lay_out("a", 0);
    write(a, 7);
    EXPECT_EQ(written(a), -1);
}

TEST_F(input_writes_test, another_buffer_at_the_same_address_is_another) {
    ggml_tensor * a = lay_out("a", 0);
    const uint64_t before = last_write_of(a);
    begin_input_notes(buffer_);
    EXPECT_NE(last_write_of(a), before);
    ggml_tensor elsewhere = *a;
    elsewhere.buffer = nullptr;
    EXPECT_EQ(last_write_of(&elsewhere), 0u);
}

TEST_F(input_writes_test, output_rows_are_those_of_the_last_graph) {
    EXPECT_FALSE(laid_out_output_ids(buffer_));
    lay_out("Meta(a,b)#out_ids#0", 0, 3);
    lay_out("Meta(a,b)#inp_pos#0", 256);
    ASSERT_TRUE(laid_out_output_ids(buffer_));
    EXPECT_EQ(laid_out_output_ids(buffer_)->ne[0], 3);
    note_computation(buffer_);
    EXPECT_TRUE(laid_out_output_ids(buffer_)) << "the same graph may be computed again";
    lay_out("Meta(a,b)#inp_pos#0", 256);
    EXPECT_FALSE(laid_out_output_ids(buffer_)) << "another graph, which has none";
    lay_out("Meta(a,b)#out_ids#0", 512, 0);
    ASSERT_TRUE(laid_out_output_ids(buffer_));
    EXPECT_EQ(laid_out_output_ids(buffer_)->ne[0], 0) << "a ubatch without output rows";
    lay_out("Meta(a,b)#out_ids#0", 1024, 3);
    EXPECT_FALSE(laid_out_output_ids(buffer_)) << "two of them";
}

}  // namespace
}  // namespace tmx::test
