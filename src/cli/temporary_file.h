// cli/temporary_file.h -- a file for another process, for as long as it is wanted.
#pragma once

#include <string>

namespace tmx {

// A file with a random name that is gone when its owner is.
class temporary_file {
  public:
    explicit temporary_file(const std::string & stem);  // ERRORS failure
    ~temporary_file();
    temporary_file(const temporary_file &) = delete;
    temporary_file & operator=(const temporary_file &) = delete;

    const std::string & path() const { return path_; }

  private:
    std::string path_;
};

}  // namespace tmx
