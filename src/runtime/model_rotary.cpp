#include "runtime/model_rotary.h"

#include <llama.h>

#include <array>
#include <cstdlib>

namespace tmx {

rotary_layout rotary_of(const model & m) {
    rotary_layout layout;
    switch (llama_model_rope_type(m.handle())) {
        case LLAMA_ROPE_TYPE_NORM:
            layout.pairs = rotary_pairs::neighbours;
            break;
        case LLAMA_ROPE_TYPE_NEOX:
            layout.pairs = rotary_pairs::halves;
            break;
        default:
            return layout;
    }
    std::array<char, 32> text{};
    const std::string key = m.facts().architecture + ".rope.dimension_count";
    const bool said = llama_model_meta_val_str(m.handle(), key.c_str(), text.data(), text.size()) > 0;
    layout.n_dims = said ? std::atoll(text.data()) : m.facts().d_head;
    return layout;
}

}  // namespace tmx
