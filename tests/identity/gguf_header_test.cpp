// The metadata of GGUF files, which are written here byte by byte: all kinds of values, files cut short anywhere, and
// damaged ones.
#include "identity/gguf_header.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "identity/model_identity.h"

namespace tmx::test {
namespace {

template <class T>
std::string bytes(T value) {
    return {reinterpret_cast<const char *>(&value), sizeof(value)};
}

std::string text(const std::string & value) {
    return bytes<uint64_t>(value.size()) + value;
}

// Kinds as the format numbers them.
constexpr uint32_t k_u8 = 0, k_i16 = 3, k_u32 = 4, k_i32 = 5, k_f32 = 6, k_truth = 7, k_text = 8, k_list = 9,
                   k_u64 = 10;

struct gguf_file {
    std::string values;
    uint64_t n_values = 0;
    uint32_t version = 3;

    gguf_file & add(const std::string & key, uint32_t kind, const std::string & value) {
        values += text(key) + bytes(kind) + value;
        ++n_values;
        return *this;
    }
    gguf_file & add_text(const std::string & key, const std::string & value) { return add(key, k_text, text(value)); }
    gguf_file & add_number(const std::string & key, uint32_t value) { return add(key, k_u32, bytes(value)); }

    std::string whole() const { return "GGUF" + bytes(version) + bytes<uint64_t>(0) + bytes(n_values) + values; }
};

class GgufHeader : public testing::Test {
  protected:
    void TearDown() override { std::filesystem::remove(path_); }

    const std::string & write(const std::string & content) {
        std::ofstream(path_, std::ios::binary) << content;
        return path_;
    }
    parsed<gguf_header> read(const std::string & content) { return gguf_header::read(write(content)); }
    std::string error_of(const std::string & content) { return read(content).error; }

    const std::string path_ =
        (std::filesystem::temp_directory_path() / ("tmx-gguf-" + std::to_string(getpid()))).string();
};

gguf_file a_model() {
    gguf_file file;
    file.add_text("general.architecture", "llama").add_text("general.name", "Some Model");
    file.add("tokenizer.ggml.tokens", k_list, bytes(k_text) + bytes<uint64_t>(2) + text("a") + text("bc"));
    file.add("tokenizer.ggml.scores", k_list, bytes(k_f32) + bytes<uint64_t>(2) + bytes(1.0f) + bytes(2.0f));
    file.add_number("llama.block_count", 30).add_number("llama.attention.head_count", 9);
    file.add_number("llama.attention.head_count_kv", 3).add_number("llama.embedding_length", 576);
    file.add_number("llama.context_length", 8192).add("llama.rope.freq_base", k_f32, bytes(1e4f));
    return file;
}

TEST_F(GgufHeader, TellsValuesOfAllKinds) {
    gguf_file file = a_model();
    file.add("byte", k_u8, bytes<uint8_t>(200)).add("short", k_i16, bytes<int16_t>(-5));
    file.add("long", k_u64, bytes<uint64_t>(1) + "").add("truth", k_truth, bytes<uint8_t>(1));
    file.add("flags", k_list, bytes(k_truth) + bytes<uint64_t>(3) + std::string("\x01\x00\x01", 3));
    file.add("list", k_list, bytes(k_i32) + bytes<uint64_t>(2) + bytes<int32_t>(-1) + bytes<int32_t>(7));
    file.add_text("long text", std::string(5000, 'x'));
    const parsed<gguf_header> header = read(file.whole());
    ASSERT_TRUE(header.ok()) << header.error;
    EXPECT_EQ(header.value.number("byte"), 200);
    EXPECT_EQ(header.value.number("short"), -5);
    EXPECT_EQ(header.value.number("long"), 1);
    EXPECT_EQ(header.value.number("truth"), 1);
    EXPECT_EQ(header.value.numbers("flags"), (std::vector<int64_t>{1, 0, 1}));
    EXPECT_EQ(header.value.numbers("list"), (std::vector<int64_t>{-1, 7}));
    EXPECT_EQ(header.value.text("general.name"), "Some Model");
    for (const char * key : {"long text", "tokenizer.ggml.tokens", "tokenizer.ggml.scores", "llama.rope.freq_base"}) {
        EXPECT_FALSE(header.value.has(key)) << key << " is not kept";
    }
    EXPECT_EQ(header.value.number("general.name"), std::nullopt);
    EXPECT_EQ(header.value.number("list"), std::nullopt);
    EXPECT_EQ(header.value.text("byte"), "");
    EXPECT_TRUE(header.value.numbers("byte").empty());
}

TEST_F(GgufHeader, AFileCutShortAnywhereIsAnError) {
    const std::string whole = a_model().whole();
    EXPECT_EQ(error_of(whole), "");
    for (size_t length = 0; length < whole.size(); ++length) {
        ASSERT_NE(error_of(whole.substr(0, length)), "") << length << " of " << whole.size() << " bytes";
    }
}

TEST_F(GgufHeader, DamageIsNamed) {
    gguf_file old;
    old.version = 1;
    const std::string huge = bytes<uint64_t>(UINT64_MAX);
    EXPECT_NE(error_of("GGML" + std::string(100, '\0')).find("no GGUF file"), std::string::npos);
    EXPECT_NE(error_of(old.whole()).find("of version 1"), std::string::npos);
    EXPECT_NE(error_of(gguf_file().add("a", 13, "").whole()).find("of kind 13"), std::string::npos);
    EXPECT_NE(error_of(gguf_file().add("a", k_list, bytes(k_list) + bytes<uint64_t>(1)).whole()).find("list of lists"),
              std::string::npos);
    EXPECT_NE(error_of(gguf_file().add("a", k_list, bytes(k_u64) + huge).whole()), "");
    EXPECT_NE(error_of(gguf_file().add("a", k_list, bytes(k_text) + huge).whole()), "");
    EXPECT_NE(error_of(gguf_file().add("a", k_text, huge).whole()), "");
    EXPECT_NE(error_of("GGUF" + bytes<uint32_t>(3) + bytes<uint64_t>(0) + huge).find("values of metadata"),
              std::string::npos);
    EXPECT_NE(error_of("GGUF" + bytes<uint32_t>(3) + bytes<uint64_t>(0) + bytes<uint64_t>(1) + huge).find("a key of"),
              std::string::npos);
    EXPECT_NE(gguf_header::read("/nowhere.gguf").error.find("no model file at /nowhere.gguf"), std::string::npos);
    EXPECT_NE(gguf_header::read("/dev/zero").error.find("no regular file"), std::string::npos);
}

TEST_F(GgufHeader, MakesTheModelsIdentity) {
    const parsed<model_identity> model = read_identity(write(a_model().whole()));
    ASSERT_TRUE(model.ok()) << model.error;
    EXPECT_EQ(shape_of(model.value), (model_shape{"llama", 30, 9, 3, 64}));
    EXPECT_EQ(model.value.name, "Some Model");
    EXPECT_EQ(model.value.n_ctx_train, 8192);
    EXPECT_TRUE(model.value.windows.empty());
    EXPECT_NE(read_identity(write(gguf_file().add_text("general.name", "x").whole())).error.find("no architecture"),
              std::string::npos);
}

TEST_F(GgufHeader, HeadsThatDifferFromLayerToLayerAreNotCompared) {
    gguf_file file;
    file.add_text("general.architecture", "llama").add_number("llama.block_count", 2);
    file.add_number("llama.attention.head_count", 8).add_number("llama.attention.key_length", 128);
    const std::string heads = bytes(k_i32) + bytes<uint64_t>(2) + bytes<int32_t>(8) + bytes<int32_t>(4);
    EXPECT_EQ(read_identity(write(file.whole())).value.n_head_kv, 8) << "where the file names none, all have their own";
    file.add("llama.attention.head_count_kv", k_list, heads);
    EXPECT_EQ(shape_of(read_identity(write(file.whole())).value), (model_shape{"llama", 2, 8, 0, 128}));
}

}  // namespace
}  // namespace tmx::test
