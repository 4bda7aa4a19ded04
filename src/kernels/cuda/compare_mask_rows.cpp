// What the host asks of mask_rows.cu.
#include "kernels/cuda/context.h"
#include "kernels/cuda/mask_rows.h"

namespace tmx {

status cuda_compare_mask_rows(const device_mask & mask, std::span<const int32_t> cells, std::span<uint8_t> found,
                              cuda_context & ctx, void * stream) noexcept {
    cuda_context::state & s = ctx.internals();
    const size_t n = cells.size();
    if (mask.data == nullptr || mask.n_stream < 1 || mask.n_rows < 1 || mask.n_kv < 1 ||
        n != static_cast<size_t>(mask.n_stream) * static_cast<size_t>(mask.n_rows) || found.size() != n) {
        return status::error(status_code::invalid_argument, "mask: no rows, or cells and results for other rows");
    }
    const cuda::device_scope scope(s.device);
    if (scope.error() != cudaSuccess) {
        return cuda::device_status(scope.error(), "selecting the device");
    }
    const auto on = static_cast<cudaStream_t>(stream);
    const size_t cell_bytes = cells.size_bytes();
    if (status room = s.scratch.reserve(cell_bytes + n, s.slabs->bytes(), s.limit, on); !room.ok()) {
        return room;
    }
    auto * const on_device = reinterpret_cast<int32_t *>(s.scratch.data());
    uint8_t * const says = s.scratch.data() + cell_bytes;
    cudaError_t error = cudaMemcpyAsync(on_device, cells.data(), cell_bytes, cudaMemcpyHostToDevice, on);
    if (error == cudaSuccess) {
        error = cuda::compare_mask_rows(mask, on_device, says, on);
    }
    if (error == cudaSuccess) {
        error = cudaMemcpyAsync(found.data(), says, n, cudaMemcpyDeviceToHost, on);
    }
    if (error == cudaSuccess) {
        error = cudaStreamSynchronize(on);
    }
    if (error != cudaSuccess) {
        return cuda::device_status(error, "comparing a mask's rows");
    }
    return {};
}

}  // namespace tmx
