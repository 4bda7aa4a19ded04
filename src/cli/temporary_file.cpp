#include "cli/temporary_file.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "runtime/failure.h"

namespace tmx {

temporary_file::temporary_file(const std::string & stem) {
    path_ = (std::filesystem::temp_directory_path() / (stem + "-XXXXXX")).string();
    const int descriptor = mkstemp(path_.data());
    if (descriptor < 0) {
        throw failure("cannot make a file in " + std::filesystem::temp_directory_path().string());
    }
    close(descriptor);
}

temporary_file::~temporary_file() {
    unlink(path_.c_str());
}

temporary_folder::temporary_folder(const std::string & stem) {
    path_ = (std::filesystem::temp_directory_path() / (stem + "-XXXXXX")).string();
    if (mkdtemp(path_.data()) == nullptr) {
        throw failure("cannot make a folder in " + std::filesystem::temp_directory_path().string());
    }
}

temporary_folder::~temporary_folder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
}

}  // namespace tmx
