#include "kernels/cuda/context.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "kernels/cuda/scratch_growth.h"

namespace tmx::cuda {

namespace {

// What the context may hold, holding so much now.
cudaError_t allowed_bytes(const cuda_scratch_limit & limit, int64_t held, int64_t & allowed) {
    size_t free_bytes = 0;
    size_t total = 0;
    const cudaError_t error = cudaMemGetInfo(&free_bytes, &total);
    if (error == cudaSuccess) {
        allowed = limit.allows(static_cast<int64_t>(free_bytes), held);
    }
    return error;
}

status at_limit() {
    return status::error(status_code::out_of_memory, "scratch memory is at its limit");
}

size_t rounded(size_t bytes) {
    size_t result = size_t{1} << 16;
    while (result < bytes) {
        result *= 2;
    }
    return result;
}

}  // namespace

slab_pool::~slab_pool() {
    const device_scope scope(device_);
    for (const slab & s : free_) {
        cudaFree(s.data);
    }
}

status slab_pool::take(size_t bytes, size_t others, const cuda_scratch_limit & limit, slab & result) {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < free_.size(); ++i) {
        if (free_[i].bytes >= bytes && free_[i].bytes <= 4 * rounded(bytes)) {
            result = free_[i];
            free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(i));
            return {};
        }
    }
    free_.reserve(n_slabs_ + 1);
    slab fresh;
    fresh.bytes = rounded(bytes);
    const auto held = static_cast<int64_t>(bytes_ + others);
    int64_t allowed = 0;
    if (const cudaError_t error = allowed_bytes(limit, held, allowed); error != cudaSuccess) {
        return device_status(error, "asking for the free memory");
    }
    if (held + static_cast<int64_t>(fresh.bytes) > allowed) {
        return at_limit();
    }
    if (const cudaError_t error = cudaMalloc(&fresh.data, fresh.bytes); error != cudaSuccess) {
        return device_status(error, "memory for tile lists");
    }
    ++n_slabs_;
    bytes_ += fresh.bytes;
    result = fresh;
    return {};
}

void slab_pool::free_unused() noexcept {
    const std::lock_guard lock(mutex_);
    const device_scope scope(device_);
    for (const slab & s : free_) {
        cudaFree(s.data);
        bytes_ -= s.bytes;
    }
    n_slabs_ -= free_.size();
    free_.clear();
}

size_t slab_pool::bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
}

void slab_pool::give(const slab & s) noexcept {
    const std::lock_guard lock(mutex_);
    free_.push_back(s);
}

upload_buffers::~upload_buffers() {
    for (const auto & b : buffers_) {
        cudaEventSynchronize(b->copied);
        cudaEventDestroy(b->copied);
        cudaFreeHost(b->data);
    }
}

cudaError_t upload_buffers::take(size_t bytes, buffer *& result) {
    for (const auto & b : buffers_) {
        if (b->bytes >= bytes && cudaEventQuery(b->copied) == cudaSuccess) {
            result = b.get();
            return cudaSuccess;
        }
    }
    buffers_.reserve(buffers_.size() + 1);  // what is made below must have a place
    auto fresh = std::make_unique<buffer>();
    fresh->bytes = rounded(bytes);
    if (const cudaError_t error = cudaEventCreateWithFlags(&fresh->copied, cudaEventDisableTiming);
        error != cudaSuccess) {
        return error;
    }
    if (const cudaError_t error = cudaHostAlloc(&fresh->data, fresh->bytes, cudaHostAllocDefault);
        error != cudaSuccess) {
        cudaEventDestroy(fresh->copied);
        return error;
    }
    buffers_.push_back(std::move(fresh));
    result = buffers_.back().get();
    return cudaSuccess;
}

scratch::~scratch() {
    if (data_ != nullptr) {
        cudaFree(data_);
    }
}

namespace {

// Gives back to the device what was freed in the order of the stream: the driver would otherwise keep it for a while.
void settle(cudaStream_t stream) noexcept {
    int device = 0;
    cudaMemPool_t pool = nullptr;
    if (cudaStreamSynchronize(stream) == cudaSuccess && cudaGetDevice(&device) == cudaSuccess &&
        cudaDeviceGetDefaultMemPool(&pool, device) == cudaSuccess) {
        cudaMemPoolTrimTo(pool, 0);
    }
    (void)cudaGetLastError();  // an error of the stream is the next call's to find
}

}  // namespace

void scratch::release(cudaStream_t stream) noexcept {
    if (data_ != nullptr) {
        cudaFreeAsync(data_, stream);
        data_ = nullptr;
        bytes_ = 0;
        settle(stream);
    }
}

status scratch::reserve(size_t bytes, size_t others, const cuda_scratch_limit & limit, cudaStream_t stream) {
    if (bytes <= bytes_) {
        return {};
    }
    const auto held = static_cast<int64_t>(bytes_);
    const auto rest = static_cast<int64_t>(others);
    int64_t allowed = 0;
    cudaError_t error = allowed_bytes(limit, held + rest, allowed);
    if (error != cudaSuccess) {
        return device_status(error, "asking for the free memory");
    }
    const scratch_growth next = grow_scratch(held, static_cast<int64_t>(bytes), rest, allowed);
    if (next.bytes == 0) {
        return at_limit();
    }
    if (next.waits) {
        release(stream);
    }
    auto size = static_cast<size_t>(next.bytes);
    void * fresh = nullptr;
    error = cudaMallocAsync(&fresh, size, stream);
    if (error == cudaErrorMemoryAllocation) {
        // A full card: just enough, once the old block is gone.
        (void)cudaGetLastError();
        release(stream);
        size = bytes;
        error = cudaMallocAsync(&fresh, size, stream);
    }
    if (error != cudaSuccess) {
        return device_status(error, "scratch memory");
    }
    if (data_ != nullptr) {
        cudaFreeAsync(data_, stream);
    }
    data_ = static_cast<uint8_t *>(fresh);
    bytes_ = size;
    return {};
}

}  // namespace tmx::cuda

namespace tmx {

cuda_context::cuda_context() noexcept = default;

cuda_context::~cuda_context() {
    if (state_ != nullptr) {
        const cuda::device_scope scope(state_->device);
        // The kernels of the last call may still read what is freed now: cudaFree() does not wait for users of memory
        // that came from a stream's pool. The whole device is waited for, because the stream may be gone, and because
        // an event behind every call would keep the next call's kernel from starting early.
        cudaDeviceSynchronize();
        cudaFree(state_->counter);
        state_.reset();
    }
}

status cuda_context::create(int device, std::unique_ptr<cuda_context> & ctx) noexcept try {
    int n_devices = 0;
    if (const cudaError_t error = cudaGetDeviceCount(&n_devices); error != cudaSuccess) {
        (void)cudaGetLastError();
        return status::error(status_code::unsupported, "no usable NVIDIA driver: %s", cudaGetErrorString(error));
    }
    if (device < 0 || device >= n_devices) {
        return status::error(status_code::invalid_argument, "device is %d, must be in [0, %d)", device, n_devices);
    }
    const cuda::device_scope scope(device);
    if (scope.error() != cudaSuccess) {
        return cuda::device_status(scope.error(), "selecting the device");
    }
    cuda::compute_capability capability;
    int n_sm = 0;
    int has_pools = 0;
    cudaError_t read = cuda::read_capability(device, capability);
    for (const auto & [value, attribute] :
         {std::pair{&n_sm, cudaDevAttrMultiProcessorCount}, {&has_pools, cudaDevAttrMemoryPoolsSupported}}) {
        if (read == cudaSuccess) {
            read = cudaDeviceGetAttribute(value, attribute, device);
        }
    }
    if (read != cudaSuccess) {
        return cuda::device_status(read, "reading the device's attributes");
    }
    const auto [major, minor] = capability;
    if (!capability.covered()) {
        return status::error(status_code::unsupported, "compute capability %d.%d, at least 8.0 is needed", major,
                             minor);
    }
    // 8.x and 9.0 find their code in this build. For later ones the driver compiles it, which one older than the
    // toolkit refuses. (One of an older major version does not get here: it counted no devices.)
    int driver = 0;
    if (const cudaError_t error = cudaDriverGetVersion(&driver); error != cudaSuccess) {
        return cuda::device_status(error, "reading the driver's version");
    }
    if (major > 9 && driver < CUDART_VERSION) {
        return status::error(status_code::unsupported,
                             "the driver's CUDA is %d.%d, at least %d.%d is needed on compute capability %d.%d",
                             driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10,
                             major, minor);
    }
    if (has_pools == 0) {
        return status::error(status_code::unsupported, "the device has no memory pools, which scratch comes from");
    }
    std::unique_ptr<cuda_context> result(new cuda_context);
    result->state_ = std::make_unique<state>();
    state & s = *result->state_;
    s.device = device;
    s.n_sm = n_sm;
    s.arch = capability.best();
    s.hopper = s.arch == cuda::architecture::sm90a;
    s.slabs = std::make_shared<cuda::slab_pool>(device);
    ctx = std::move(result);
    return {};
} catch (const std::bad_alloc &) {
    return status::error(status_code::out_of_memory, "no memory for a context");
}

int cuda_context::device() const noexcept {
    return state_->device;
}

const char * cuda_context::kernel() const noexcept {
    return cuda::name_of(state_->arch);
}

status cuda_context::force_kernel(const char * name) noexcept {
    for (const cuda::architecture arch : {cuda::architecture::sm80, cuda::architecture::sm90a}) {
        if (std::strcmp(name, cuda::name_of(arch)) == 0) {
            if (arch == cuda::architecture::sm90a && !state_->hopper) {
                return status::error(status_code::unsupported, "kernel: this device cannot run \"%s\"", name);
            }
            state_->arch = arch;
            return {};
        }
    }
    return status::error(status_code::invalid_argument, "kernel: no kernel named \"%s\" in this build", name);
}

void cuda_context::limit_scratch(const cuda_scratch_limit & limit) noexcept {
    state_->limit = limit;
}

int64_t cuda_context::scratch_bytes() const noexcept {
    return static_cast<int64_t>(state_->scratch.bytes() + state_->slabs->bytes());
}

std::vector<cuda_kept_pairs> cuda_context::take_kept(void * stream) {
    const cuda::device_scope scope(state_->device);
    return state_->counts.take(static_cast<cudaStream_t>(stream));
}

bool cuda_context::release_scratch(void * stream) noexcept {
    const cuda::device_scope scope(state_->device);
    const auto on = static_cast<cudaStream_t>(stream);
    if (scope.error() != cudaSuccess || cudaStreamQuery(on) != cudaSuccess) {
        (void)cudaGetLastError();
        return false;
    }
    state_->scratch.release(on);
    state_->slabs->free_unused();
    return true;
}

}  // namespace tmx
