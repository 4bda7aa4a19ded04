// measure/record_store.h -- what was measured, as JSON lines in a file beside the plan, so that a run that was stopped
// goes on from there, and so that later runs with other ways to choose measure nothing twice.
#pragma once

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace tmx {

// A record is an object with a member "key" that names all that its values depend on.
class record_store {
  public:
    using json = nlohmann::ordered_json;

    // Opens for appending and reads what is there. A half-written last line (a killed run) is dropped.
    // ERRORS failure: cannot be opened, another process has it open, or a line is no record.
    explicit record_store(const std::string & path);
    ~record_store();
    record_store(const record_store &) = delete;
    record_store & operator=(const record_store &) = delete;

    const json * find(const std::string & key) const;  // null if there is none

    // Returns the stored record. ERRORS failure: the disk is full.
    const json & append(const std::string & key, const json & record);

    size_t n_found() const { return n_found_; }  // when it was opened

  private:
    std::string path_;
    int lock_ = -1;  // the file, held open for its advisory lock
    std::ofstream out_;
    std::map<std::string, json> records_;
    size_t n_found_ = 0;

    void lock();
    void read();
};

}  // namespace tmx
