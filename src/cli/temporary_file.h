// cli/temporary_file.h -- a file or a folder for another process, for as long as it is wanted.
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

// A folder of the same kind, for its user alone; gone with all that is in it.
class temporary_folder {
  public:
    explicit temporary_folder(const std::string & stem);  // ERRORS failure
    ~temporary_folder();
    temporary_folder(const temporary_folder &) = delete;
    temporary_folder & operator=(const temporary_folder &) = delete;

    const std::string & path() const { return path_; }

  private:
    std::string path_;
};

}  // namespace tmx
