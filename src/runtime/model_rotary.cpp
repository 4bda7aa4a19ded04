#include "runtime/model_rotary.h"

#include <llama.h>

#include "runtime/model_metadata.h"

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
    layout.n_dims = metadata_number(m.handle(), m.facts().architecture + ".rope.dimension_count", m.facts().d_head);
    return layout;
}

}  // namespace tmx
