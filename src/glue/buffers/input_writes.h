// What the host puts into a graph's inputs in a watched buffer (cache_writes.h). Where a graph shows none of them
// (rebuilt_inputs.h), this tells whether they still hold what they held, and what the graph holds beside its nodes: a
// part of one, as llama.cpp's tensor split has its devices compute, shows neither.
//
// Nothing here throws into the host: where memory is short, less is known.
// THREADS  Any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "glue/abi.h"

namespace tmx {

// A tensor of a graph that exists before the graph is computed.
bool is_graph_input(const ggml_tensor * tensor);

// The name of what a tensor is a copy of, as the scheduler calls copies: "out_ids" of "RPC0[10.0.0.2:50052]#out_ids#0".
// Where a device's name leaves no room for all of it: what is left. Any other name is itself.
std::string_view original_name(const ggml_tensor * tensor);

// Whether that is out_ids, by which llama.cpp takes the output rows; of a name that was cut, its first letters.
bool names_output_ids(const ggml_tensor * tensor);

// A number that changes whenever the host writes that input; 0: its buffer is not watched.
uint64_t last_write_of(const ggml_tensor * input) noexcept;

// What the host wrote into an input since the buffer's last computation, without asking the device: all of its bytes,
// to `to`. False: it is not known (k_most_kept_bytes).
bool get_written(const ggml_tensor * input, std::byte * to) noexcept;
inline constexpr size_t k_most_kept_bytes = size_t{1} << 20;  // of one input

// The tensor of output rows, out_ids, among those that were last laid out in that buffer; none if there is none, or
// more than one. Its data may be read as long as the graph is used.
std::optional<ggml_tensor> laid_out_output_ids(ggml_backend_buffer_t buffer) noexcept;

// The buffer's graph is computed, so what is laid out in it from now on is another's.
void note_computation(ggml_backend_buffer_t buffer) noexcept;

// From the functions of a watched buffer (cache_writes.cpp): it is watched from now on; a tensor is laid out in it; the
// host replaces bytes of one, by what `data` holds, null if that is not known.
void begin_input_notes(ggml_backend_buffer_t buffer);
void note_layout(ggml_backend_buffer_t buffer, const ggml_tensor * tensor) noexcept;
void note_input_write(const ggml_tensor * tensor, const void * data, size_t offset, size_t size) noexcept;

}  // namespace tmx
