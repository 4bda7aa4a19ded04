// Large attention masks on their way to a GPU of another host, behind llama.cpp's RPC. As they are they take 2 bytes a
// pair, and most of a long prompt's time; where the other host's device is a proxy of ours, they go there in few bytes
// (mask_code.h). A message is a write into the mask's tensor under a name that no tensor has, so that any version of
// the RPC carries it. Whether the other side understands such messages is asked, once for each buffer: a device that
// does not would take a message for the mask.
//
// Nothing here throws into the host: without memory a mask goes as it is.
// THREADS  Any.
#pragma once

#include <cstddef>

#include "glue/abi.h"

namespace tmx {

// What the host writes into a tensor of that buffer, by its own functions. True: that was a mask, and it is there.
// False: it is for the buffer's own function to write.
bool send_mask(ggml_backend_buffer_t buffer, const ggml_tensor * tensor, const void * data, size_t offset, size_t size,
               const ggml_backend_buffer_i & theirs) noexcept;

bool is_mask_message(const ggml_tensor * tensor);

// Answers a question, or writes the mask that the message is about; what is neither makes the mask one of NaN, with a
// line in the log. REQUIRES is_mask_message(tensor). `theirs`: the buffer's own functions.
void receive_mask(ggml_backend_buffer_t buffer, const ggml_tensor * tensor, const void * data, size_t size,
                  const ggml_backend_buffer_i & theirs) noexcept;

}  // namespace tmx
