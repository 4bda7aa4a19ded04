// The library as a host meets it: loaded by path, under every setting that decides whether it serves. Each case is a
// child process, since ggml keeps what it loaded.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "ggml-backend.h"
#include "mini_model.h"
#include "trianglemix/backend_control.h"

namespace tmx::test {
namespace {

using settings_list = std::vector<std::pair<const char *, std::string>>;

std::string read_file(const std::string & path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

class registry_test : public testing::Test {
  protected:
    registry_test() : folder_(testing::TempDir() + "tmx_registry_" + std::to_string(getpid())) {
        std::filesystem::create_directories(folder_);
    }
    ~registry_test() override { std::filesystem::remove_all(folder_); }

    std::string path(const char * name) const { return folder_ + "/" + name; }

    // Runs `body` in a child with these settings; its checks count here. Returns what the child logged.
    std::string in_child(const settings_list & environment, const std::function<void()> & body) {
        const std::string log = path("log");
        const pid_t child = fork();
        if (child == 0) {
            if (std::freopen(log.c_str(), "w", stderr) == nullptr) {
                _exit(3);
            }
            for (const auto & [name, value] : environment) {
                setenv(name, value.c_str(), 1);
            }
            body();
            std::exit(testing::Test::HasFailure() ? 1 : 0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        const std::string text = read_file(log);
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "child status " << status << "\n" << text;
        return text;
    }

    std::string folder_;
};

bool contains(const std::string & text, const std::string & part) {
    return text.find(part) != std::string::npos;
}

ggml_backend_reg_t load() {
    return ggml_backend_load(TMX_MODULE);
}

TEST_F(registry_test, registers_one_accel_device) {
    const std::string log = in_child({}, [] {
        ggml_backend_reg_t reg = load();
        ASSERT_NE(reg, nullptr);
        EXPECT_STREQ(ggml_backend_reg_name(reg), "TriangleMix");
        ASSERT_EQ(ggml_backend_reg_dev_count(reg), 1u);
        ggml_backend_dev_t dev = ggml_backend_reg_dev_get(reg, 0);
        EXPECT_STREQ(ggml_backend_dev_name(dev), "TriangleMix");
        EXPECT_EQ(ggml_backend_dev_type(dev), GGML_BACKEND_DEVICE_TYPE_ACCEL);
        EXPECT_EQ(ggml_backend_dev_buffer_type(dev), ggml_backend_cpu_buffer_type());
        EXPECT_EQ(ggml_backend_reg_by_name(TMX_BACKEND_NAME), reg);
        EXPECT_EQ(ggml_backend_dev_by_name(TMX_BACKEND_NAME), dev);
        ggml_backend_t backend = ggml_backend_dev_init(dev, nullptr);
        ASSERT_NE(backend, nullptr);
        EXPECT_STREQ(ggml_backend_name(backend), "TriangleMix");
        ggml_backend_free(backend);
        EXPECT_EQ(load(), reg) << "loaded a second time, by GGML_BACKEND_PATH and the preload library say";
        EXPECT_EQ(ggml_backend_dev_count(), 1u);
    });
    EXPECT_TRUE(contains(log, "registered; kernel ")) << log;
    EXPECT_TRUE(contains(log, "plan none (exact)")) << log;
}

TEST_F(registry_test, every_proc_address) {
    in_child({}, [] {
        ggml_backend_reg_t reg = load();
        ASSERT_NE(reg, nullptr);
        for (const char * name :
             {TMX_PROC_SET_PLAN, TMX_PROC_SET_PROMPT_LENGTH, TMX_PROC_SET_ENABLED, TMX_PROC_SET_PRECISION,
              TMX_PROC_STATISTICS, TMX_PROC_RESET_STATISTICS, TMX_PROC_CONTEXT_BEGIN, TMX_PROC_CONTEXT_END,
              TMX_PROC_CONTEXT_SET_PLAN, TMX_PROC_CONTEXT_SET_PROMPT_LENGTH, TMX_PROC_CONTEXT_SET_PRECISION,
              TMX_PROC_CONTEXT_STATISTICS, TMX_PROC_CONTEXT_RESET_STATISTICS, "ggml_backend_set_n_threads"}) {
            EXPECT_NE(ggml_backend_reg_get_proc_address(reg, name), nullptr) << name;
        }
        EXPECT_EQ(ggml_backend_reg_get_proc_address(reg, "trianglemix_nothing"), nullptr);

        const auto set_plan =
            reinterpret_cast<tmx_set_plan_t>(ggml_backend_reg_get_proc_address(reg, TMX_PROC_SET_PLAN));
        const auto set_precision =
            reinterpret_cast<tmx_set_precision_t>(ggml_backend_reg_get_proc_address(reg, TMX_PROC_SET_PRECISION));
        const auto statistics =
            reinterpret_cast<tmx_statistics_t>(ggml_backend_reg_get_proc_address(reg, TMX_PROC_STATISTICS));
        EXPECT_EQ(set_plan(nullptr), nullptr);
        EXPECT_EQ(set_plan(""), nullptr);
        const char * error = set_plan("[]");
        ASSERT_NE(error, nullptr);
        EXPECT_GT(std::string(error).size(), 10u);
        EXPECT_EQ(set_precision("exact"), nullptr);
        ASSERT_NE(set_precision("quick"), nullptr);
        const nlohmann::json read = nlohmann::json::parse(statistics());
        EXPECT_EQ(read["ggml_version"], TMX_GGML_VERSION);
        EXPECT_EQ(read["nodes"]["dense"], 0);
    });
}

TEST_F(registry_test, off_switch_leaves_no_backend) {
    const std::string log = in_child({{"TRIANGLEMIX_DISABLE", "1"}}, [] {
        EXPECT_EQ(load(), nullptr);
        EXPECT_EQ(ggml_backend_dev_count(), 0u);
        EXPECT_EQ(ggml_backend_reg_count(), 0u) << "llama-bench names every registry, with devices or without";
    });
    EXPECT_TRUE(contains(log, "switched off by TRIANGLEMIX_DISABLE")) << log;
    EXPECT_FALSE(contains(log, "fail") || contains(log, "error")) << log;
}

TEST_F(registry_test, a_cpu_without_a_kernel_gets_no_cpu_device) {
    const std::string file = path("status");
    std::string log = in_child({{"TRIANGLEMIX_STATUS", file}}, [] {
        ggml_backend_reg_t reg = ggml_backend_load(TMX_NO_KERNEL_MODULE);
        ASSERT_NE(reg, nullptr);
        EXPECT_EQ(ggml_backend_reg_dev_count(reg), 0u);
        EXPECT_EQ(ggml_backend_reg_dev_get(reg, 0), nullptr);
    });
    const std::string said = "no kernel of this build runs on this CPU";
    ASSERT_TRUE(contains(log, said)) << log;
    EXPECT_FALSE(contains(log.substr(log.find(said) + 1), said)) << "once: " << log;
    const nlohmann::json status = nlohmann::json::parse(read_file(file));
    EXPECT_EQ(status["registered"], false);
    EXPECT_EQ(status["devices"], 0);
    EXPECT_TRUE(contains(status["reason"], said)) << status;

    log = in_child({}, [] {
        ggml_backend_reg_t reg = ggml_backend_load(TMX_NO_KERNEL_GPU_MODULE);
        ASSERT_NE(reg, nullptr);
        ASSERT_EQ(ggml_backend_reg_dev_count(reg), 1u);
        EXPECT_STREQ(ggml_backend_dev_name(ggml_backend_reg_dev_get(reg, 0)), "TriangleMix0") << "GPUs need no CPU's";
        EXPECT_EQ(ggml_backend_reg_dev_get(reg, 1), nullptr);
    });
    EXPECT_TRUE(contains(log, said)) << log;
}

TEST_F(registry_test, bad_settings_are_reported_and_left_out) {
    const std::string log = in_child({{"TRIANGLEMIX_LAYERS", "9-3"},
                                      {"TRIANGLEMIX_PRECISION", "half"},
                                      {"TRIANGLEMIX_KERNEL", "avx9"},
                                      {"TRIANGLEMIX_LAYRES", "1"}},
                                     [] {
                                         ggml_backend_reg_t reg = load();
                                         ASSERT_NE(reg, nullptr);
                                         EXPECT_EQ(ggml_backend_reg_dev_count(reg), 1u);
                                     });
    for (const char * part :
         {"TRIANGLEMIX_LAYERS: ", "TRIANGLEMIX_PRECISION: ", "TRIANGLEMIX_KERNEL: no kernel \"avx9\"",
          "unknown variable TRIANGLEMIX_LAYRES", "plan none (exact)"}) {
        EXPECT_TRUE(contains(log, part)) << part << "\n" << log;
    }
}

TEST_F(registry_test, strict_refuses_bad_settings) {
    for (const auto & [name, value] : settings_list{{"TRIANGLEMIX_LAYERS", "9-3"},
                                                    {"TRIANGLEMIX_PLAN", "/nonexistent/plan.json"},
                                                    {"TRIANGLEMIX_KERNEL", "avx9"},
                                                    {"TRIANGLEMIX_MIN_ROWS", "none"}}) {
        const std::string log = in_child({{"TRIANGLEMIX_STRICT", "1"}, {name, value}}, [] {
            EXPECT_EQ(load(), nullptr);
            EXPECT_EQ(ggml_backend_reg_count(), 0u);
        });
        EXPECT_TRUE(contains(log, name)) << log;
    }
    in_child({{"TRIANGLEMIX_STRICT", "1"}, {"TRIANGLEMIX_UNKNOWN", "1"}}, [] { EXPECT_NE(load(), nullptr); });
}

TEST_F(registry_test, plan_from_the_environment_is_in_force) {
    const std::string log = in_child({{"TRIANGLEMIX_LAYERS", "3-5"}, {"TRIANGLEMIX_TAIL", "output"}}, [] {
        ggml_backend_reg_t reg = load();
        ASSERT_NE(reg, nullptr);
        const auto statistics =
            reinterpret_cast<tmx_statistics_t>(ggml_backend_reg_get_proc_address(reg, TMX_PROC_STATISTICS));
        const nlohmann::json read = nlohmann::json::parse(statistics());
        EXPECT_EQ(read["plan"], "TRIANGLEMIX_LAYERS=3-5");
        EXPECT_EQ(read["tail"], "output");
    });
    EXPECT_TRUE(contains(log, "plan TRIANGLEMIX_LAYERS=3-5")) << log;
}

TEST_F(registry_test, statistics_at_exit) {
    const auto ask_for_a_short_one = [] {
        ggml_backend_reg_t reg = load();
        ASSERT_NE(reg, nullptr);
        mini_model model({}, 8, 256, 1, ggml_backend_reg_dev_get(reg, 0));
    };
    std::string log = in_child({{"TRIANGLEMIX_STATS", "1"}}, [&] {
        ggml_backend_load_all_from_path(TMX_LLAMA_BIN_FOLDER);
        ask_for_a_short_one();
    });
    const std::string least = std::to_string(TMX_DEFAULT_MIN_ROWS);
    EXPECT_TRUE(contains(log, "TriangleMix: computed nothing. Only prompts of at least " + least)) << log;
    // A process that ran no model, as a router that starts others, leaves nothing.
    const std::string file = path("stats.json");
    in_child({{"TRIANGLEMIX_STATS", file}}, [] { EXPECT_NE(load(), nullptr); });
    EXPECT_FALSE(std::filesystem::exists(file));
    log = in_child({{"TRIANGLEMIX_STATS", "1"}}, [] { EXPECT_NE(load(), nullptr); });
    EXPECT_FALSE(contains(log, "computed nothing")) << log;
}

TEST_F(registry_test, statistics_that_cannot_be_written_are_reported_at_once) {
    for (const std::string & where : {std::string("/nonexistent/folder/s.json"), folder_}) {
        const std::string log = in_child({{"TRIANGLEMIX_STATS", where}}, [] {
            EXPECT_NE(load(), nullptr);
            std::fputs("loaded\n", stderr);
        });
        const size_t warned = log.find("TRIANGLEMIX_STATS: cannot write " + where + ": ");
        EXPECT_LT(warned, log.find("loaded\n")) << log;
        in_child({{"TRIANGLEMIX_STATS", where}, {"TRIANGLEMIX_STRICT", "1"}}, [] { EXPECT_EQ(load(), nullptr); });
    }
}

// A router and the servers that it starts have one environment, and so had processes of an earlier run.
TEST_F(registry_test, no_process_replaces_another_ones_statistics) {
    const auto compute = [] {
        ggml_backend_load_all_from_path(TMX_LLAMA_BIN_FOLDER);
        ggml_backend_reg_t reg = load();
        ASSERT_NE(reg, nullptr);
        fake_cache cache(256);
        mini_model model({}, 100, 256, 1, ggml_backend_reg_dev_get(reg, 0));
        ASSERT_TRUE(model.compute(cache.add_prompt(0, 100), std::vector<int32_t>(100, 0)));
    };
    const auto files = [&] {
        size_t n = 0;
        for (const auto & each : std::filesystem::directory_iterator(folder_)) {
            const std::string name = each.path().filename().string();
            if (name.starts_with("stats.") && name.ends_with(".json")) {
                EXPECT_EQ(nlohmann::json::parse(read_file(each.path()))["nodes"]["dense"], 3) << name;
                ++n;
            }
        }
        return n;
    };
    const std::string file = path("stats.json");
    std::ofstream(file).close();  // an empty one, as mktemp makes, holds nothing that could be lost
    in_child({{"TRIANGLEMIX_STATS", file}}, compute);
    EXPECT_EQ(files(), 1u);
    const std::string first = read_file(file);
    const std::string log = in_child({{"TRIANGLEMIX_STATS", file}}, compute);
    EXPECT_TRUE(contains(log, file + " holds something already")) << log;
    EXPECT_EQ(files(), 2u);
    EXPECT_EQ(read_file(file), first);
    in_child({{"TRIANGLEMIX_STATS", path("stats.of-%p.json")}}, compute);
    EXPECT_EQ(files(), 3u);
    EXPECT_FALSE(std::filesystem::exists(path("stats.of-%p.json")));
}

TEST_F(registry_test, the_summary_names_what_strict_mode_refused) {
    const std::string log =
        in_child({{"TRIANGLEMIX_STATS", "1"}, {"TRIANGLEMIX_STRICT", "1"}, {"TRIANGLEMIX_LAYERS", "0,77"}}, [] {
            ggml_backend_load_all_from_path(TMX_LLAMA_BIN_FOLDER);
            ggml_backend_reg_t reg = load();
            ASSERT_NE(reg, nullptr);
            fake_cache cache(256);
            mini_model model({}, 100, 256, 1, ggml_backend_reg_dev_get(reg, 0));
            EXPECT_FALSE(model.compute(cache.add_prompt(0, 100), std::vector<int32_t>(100, 0)));
        });
    EXPECT_TRUE(contains(log, "TriangleMix: plan refused: ")) << log;
    EXPECT_TRUE(contains(log, "TriangleMix: TRIANGLEMIX_STRICT: 1 evaluations failed (plan_refused)")) << log;
    EXPECT_FALSE(contains(log, "Only prompts of at least")) << log;
}

// What was computed must still be there when the process ends, whatever was destroyed before.
TEST_F(registry_test, statistics_at_exit_of_a_process_that_computed) {
    const std::string file = path("stats.json");
    for (const std::string & where : {file, std::string("1")}) {
        const std::string log =
            in_child({{"TRIANGLEMIX_STATS", where}, {"TRIANGLEMIX_LAYERS", "1"}, {"TRIANGLEMIX_WINDOW", "16"}}, [] {
                ggml_backend_load_all_from_path(TMX_LLAMA_BIN_FOLDER);
                ggml_backend_reg_t reg = load();
                ASSERT_NE(reg, nullptr);
                fake_cache cache(256);
                mini_model model({}, 200, 256, 1, ggml_backend_reg_dev_get(reg, 0));
                ASSERT_TRUE(model.compute(cache.add_prompt(0, 200), std::vector<int32_t>(200, 0)));
            });
        EXPECT_EQ(contains(log, "3 attention nodes in "), where == "1") << log;
    }
    const nlohmann::json read = nlohmann::json::parse(read_file(file));
    EXPECT_EQ(read["nodes"]["triangle"], 1);
    EXPECT_EQ(read["nodes"]["dense"], 2);
    EXPECT_EQ(read["layers"].size(), 3u);
}

TEST_F(registry_test, status_file_says_how_registration_went) {
    const std::string file = path("status");
    const auto last_line = [&] {
        const std::string text = read_file(file);
        return nlohmann::json::parse(text.substr(text.rfind('\n', text.size() - 2) + 1));
    };
    in_child({{"TRIANGLEMIX_STATUS", file}}, [] { EXPECT_NE(load(), nullptr); });
    EXPECT_EQ(last_line()["registered"], true);
    EXPECT_EQ(last_line()["devices"], 1);
    in_child({{"TRIANGLEMIX_STATUS", file}, {"TRIANGLEMIX_DISABLE", "1"}}, [] { EXPECT_EQ(load(), nullptr); });
    EXPECT_EQ(last_line()["registered"], false);
    EXPECT_EQ(last_line()["reason"], "switched off by TRIANGLEMIX_DISABLE");
    in_child({{"TRIANGLEMIX_STATUS", file},
              {"TRIANGLEMIX_STRICT", "1"},
              {"TRIANGLEMIX_SINK", "x"},
              {"TRIANGLEMIX_LAYERS", "1"}},
             [] { EXPECT_EQ(load(), nullptr); });
    EXPECT_TRUE(contains(last_line()["reason"], "TRIANGLEMIX_SINK"));
}

// The library must not bring its own ggml, nor leave symbols that another library could bind to.
TEST_F(registry_test, exports_and_links_nothing_else) {
    const auto output_of = [](const std::string & command) {
        std::string text;
        std::array<char, 4096> block;
        FILE * pipe = popen(command.c_str(), "r");
        while (pipe != nullptr && std::fgets(block.data(), block.size(), pipe) != nullptr) {
            text += block.data();
        }
        EXPECT_EQ(pclose(pipe), 0) << command;
        return text;
    };
    for (const char * exported : {"ggml_backend_init", "ggml_backend_score"}) {
        EXPECT_TRUE(contains(output_of("nm -D --defined-only " TMX_MODULE), " T " + std::string(exported) + "\n"));
        EXPECT_TRUE(contains(output_of("nm -D --defined-only " TMX_PART), " T " + std::string(exported) + "\n"));
    }
    const auto symbols = [&](const char * library) {
        const std::string text = output_of(std::string("nm -D --defined-only ") + library);
        return std::count(text.begin(), text.end(), '\n');
    };
    EXPECT_EQ(symbols(TMX_MODULE), 2);
    EXPECT_EQ(symbols(TMX_PART), 3);
    EXPECT_FALSE(contains(output_of("readelf -d " TMX_MODULE), "[libggml")) << "any program must be able to load it";
    const std::string dynamic = output_of("readelf -d " TMX_PART);
    EXPECT_TRUE(contains(dynamic, "path: [$ORIGIN]")) << "the core beside it, and no other folder\n" << dynamic;
    EXPECT_TRUE(contains(dynamic, "[libtrianglemix-core.so]")) << dynamic;
    EXPECT_TRUE(contains(dynamic, "[libggml-base.so.0]")) << dynamic;
    EXPECT_FALSE(contains(dynamic, "libllama")) << dynamic;
    const std::string core = output_of("readelf -d " TMX_CORE);
    EXPECT_FALSE(contains(core, "libggml") || contains(core, "RPATH") || contains(core, "RUNPATH")) << core;
    EXPECT_FALSE(contains(core, "libcuda")) << "a machine without an NVIDIA driver loads it, too\n" << core;
    EXPECT_FALSE(contains(output_of("readelf -d " TMX_PRELOAD), "ggml"));
}

#ifndef TMX_SANITIZED
TEST_F(registry_test, preload_leaves_processes_without_ggml_alone) {
    EXPECT_EQ(std::system("env LD_PRELOAD=" TMX_PRELOAD " /bin/sh -c 'exit 7' 2>/dev/null") >> 8, 7);
    EXPECT_EQ(std::system("env LD_PRELOAD=" TMX_PRELOAD " /bin/true"), 0);
}

TEST_F(registry_test, preload_registers_in_a_host_with_linked_in_backends) {
    EXPECT_EQ(std::system("env LD_PRELOAD=" TMX_PRELOAD " " TMX_LINKED_HOST " 1 2>/dev/null") >> 8, 0);
    EXPECT_EQ(
        std::system("env LD_PRELOAD=" TMX_PRELOAD " TRIANGLEMIX_DISABLE=1 " TMX_LINKED_HOST " 0 2>/dev/null") >> 8, 0);
    EXPECT_EQ(std::system(TMX_LINKED_HOST " 0 2>/dev/null") >> 8, 0);
}

TEST_F(registry_test, preload_keeps_out_of_a_host_that_loads_its_backends_itself) {
    EXPECT_EQ(std::system("env LD_PRELOAD=" TMX_PRELOAD " " TMX_LOADING_HOST " 0 2>/dev/null") >> 8, 0);
    EXPECT_EQ(std::system("env LD_PRELOAD=" TMX_PRELOAD " GGML_BACKEND_PATH=" TMX_MODULE " " TMX_LOADING_HOST
                          " 1 2>/dev/null") >>
                  8,
              0);
}
#endif

}  // namespace
}  // namespace tmx::test
