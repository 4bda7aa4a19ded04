// What one llama context knows of the cells of its key caches. All layers of one of llama.cpp's caches share a buffer
// and number their cells alike, so whichever layer is seen first stands for all.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backend/runs/cell_table.h"
#include "glue/abi.h"
#include "glue/buffers/cache_writes.h"

namespace tmx {

struct known_cache {
    const void * identity = nullptr;
    uint64_t serial = 0;                 // of its buffer: another one may get the address when this one is freed
    std::unique_ptr<cache_watch> watch;  // where keys are unreadable: in a device's memory
    known_cells cells;                   // keys are those of the layer that stands for all
};

// The oldest is dropped when there are too many.
class known_caches {
  public:
    // Of the tensor cache_k_l<layer>, up to date with what the host did to it. `rotary` as in key_probe.
    // The reference is good until the next call.
    known_cells & of(const ggml_tensor * cache, bool rotary);

  private:
    std::vector<known_cache> caches_;  // newest last
};

}  // namespace tmx
