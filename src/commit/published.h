// commit/published.h -- what may be written into the folder of published results. Scripts have the same rule from
// tools/commits.py.
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

#include "commit/commit_name.h"

namespace tmx {

// "" if rows made by the program of that commit may go to the file; else why not, and what to do. Rows in docs/results
// are what tables are made of, so the sources that made them must be those that the commit names.
inline std::string why_not_published(const std::string & path, const std::string & commit) {
    std::error_code error;
    const std::filesystem::path folder = std::filesystem::weakly_canonical(path, error).parent_path();
    const bool published = folder.filename() == "results" && folder.parent_path().filename() == "docs";
    if (!published || !is_dirty(commit)) {
        return "";
    }
    return path + " keeps published results, and this program was built from files that differ from their commit (" +
           commit + "), so nobody could make its rows again. Commit and rebuild, or write to another file.";
}

}  // namespace tmx
