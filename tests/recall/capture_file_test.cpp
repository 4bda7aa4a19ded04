#include "recall/capture_file.h"

#include <gtest/gtest.h>

#include "random_capture.h"
#include "runtime/failure.h"

namespace tmx {
namespace {

TEST(capture_file, gives_back_what_ubatches_brought) {
    const scratch_capture file("whole");
    const capture_facts facts = facts_of({0, 2}, 50);
    const std::vector<captured_layer> layers = {random_layer(50, 1), random_layer(50, 5)};
    write_capture(file.path, facts, layers, 16);
    capture_reader reader(file.path);
    EXPECT_EQ(reader.facts().shape, facts.shape);
    EXPECT_EQ(reader.facts().layers, facts.layers);
    EXPECT_EQ(reader.facts().n_tokens, 50);
    EXPECT_EQ(reader.facts().scale, facts.scale);
    EXPECT_EQ(reader.facts().rotary, facts.rotary);
    for (const size_t number : {1, 0}) {
        const captured_layer read = reader.read(number);
        EXPECT_EQ(read.q, layers[number].q);
        EXPECT_EQ(read.k, layers[number].k);
        EXPECT_EQ(read.v, layers[number].v);
    }
}

TEST(capture_file, is_not_there_until_it_is_whole) {
    const scratch_capture file("half");
    { capture_writer writer(file.path, facts_of({0}, 50)); }
    EXPECT_FALSE(std::filesystem::exists(file.path));
    EXPECT_FALSE(std::filesystem::exists(file.path + ".partial"));
}

TEST(capture_file, other_files_are_refused) {
    const scratch_capture file("bad");
    EXPECT_THROW(capture_reader{file.path}, failure);
    std::ofstream(file.path) << std::string(5000, '{');
    EXPECT_THROW(capture_reader{file.path}, failure);
    write_capture(file.path, facts_of({0}, 50), {random_layer(50, 1)}, 50);
    std::filesystem::resize_file(file.path, std::filesystem::file_size(file.path) - 4);
    EXPECT_THROW(capture_reader{file.path}, failure);
}

TEST(capture_file, heads_that_differ_from_the_models_are_refused) {
    const scratch_capture file("heads");
    capture_writer writer(file.path, facts_of({0}, 50));
    EXPECT_THROW(writer.add({0, 0, 1, k_heads + 1, k_kv_heads, k_dim, k_dim, 0.25f, {}, {}, {}}), failure);
}

}  // namespace
}  // namespace tmx
