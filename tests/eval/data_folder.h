// A folder of official files that a test writes for itself: rows in each suite's format, texts of our own.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "eval/task_table.h"
#include "runtime/failure.h"

namespace tmx::test {

class data_folder {
  public:
    data_folder() {
        const auto * info = testing::UnitTest::GetInstance()->current_test_info();
        path_ = std::filesystem::path(testing::TempDir()) / ("tmx_eval_" + std::string(info->name()));
        std::filesystem::remove_all(path_);
        std::filesystem::create_directories(path_);
    }
    ~data_folder() { std::filesystem::remove_all(path_); }
    data_folder(const data_folder &) = delete;
    data_folder & operator=(const data_folder &) = delete;

    std::string write(const std::string & name, const std::string & text) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name, std::ios::binary) << text;
        return (path_ / name).string();
    }
    std::string path() const { return path_.string(); }

    std::unique_ptr<eval_task> open(const std::string & reference) const {
        eval_sources sources;  // without texts and words: nothing here needs them
        sources.data = path();
        const auto rows = find_tasks(reference);
        return rows.at(0)->open(sources, rows.at(0)->name);
    }

    // What opening it says is wrong; "" if nothing.
    std::string refusal(const std::string & reference) const {
        try {
            open(reference);
        } catch (const failure & error) {
            return error.what();
        }
        return "";
    }

  private:
    std::filesystem::path path_;
};

inline bool holds(const std::string & text, const std::string & part) {
    return text.find(part) != std::string::npos;
}

}  // namespace tmx::test
