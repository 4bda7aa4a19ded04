// Which rows of a mixture's product belong to which expert.
#pragma once

#include <cstdint>
#include <vector>

#include "trianglemix/expert_products.h"

namespace tmx {

// A row of the result: a token times the expert in one of its slots.
struct expert_row {
    int64_t token;
    int64_t slot;
};

// All rows of a result, one expert's after the other's; an expert's in the order of tokens and slots.
class expert_rows {
  public:
    // May throw std::bad_alloc. ERRORS invalid_argument: an expert that there is not.
    status sort(const expert_choice & choice);

    int64_t size() const { return static_cast<int64_t>(rows_.size()); }
    const expert_row & operator[](int64_t index) const { return rows_[static_cast<size_t>(index)]; }

    // Of the row at `index`. REQUIRES 0 <= index < size().
    int64_t expert_of(int64_t index) const;
    int64_t end_of(int64_t expert) const { return ends_[static_cast<size_t>(expert)]; }

    // Where a stretch of at most `most` rows from `begin` on ends, so that it cuts an expert's rows only if it begins
    // with them. REQUIRES 0 <= begin < size(); most >= 1.
    int64_t stretch_end(int64_t begin, int64_t most) const;

  private:
    std::vector<expert_row> rows_;
    std::vector<int64_t> ends_;  // of each expert's rows
};

}  // namespace tmx
