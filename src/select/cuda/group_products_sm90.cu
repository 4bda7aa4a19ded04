// Products of groups on Hopper, by the tensor copy and wgmma. A persistent block makes one tile of 128 x 256 after the
// other: a warp copies steps of 64 of the depth into a ring of buffers, ahead of two warpgroups of 64 x 256. Two blocks
// are a cluster and make two tiles of the same key groups, of which each copies half, to both: what the multiprocessors
// read together is the L2 cache's to deliver, and it could not for tiles of 128 x 256 alone.
#include <cuda.h>

#include <type_traits>

#include "kernels/cuda/ptx.cuh"
#include "kernels/cuda/sm90/cluster.cuh"
#include "kernels/cuda/sm90/config.cuh"
#include "kernels/cuda/sm90/tensor.h"
#include "kernels/cuda/sm90/tensor_map.h"
#include "kernels/cuda/sm90/wgmma.cuh"
#include "select/cuda/group_products.cuh"
#include "select/cuda/group_products.h"

namespace tmx::cuda {
namespace {

constexpr int k_stages = 4;
constexpr int k_places = k_stages + 1;
constexpr int k_consumers = 2;  // warpgroups that multiply; one more copies
constexpr int k_threads = 128 * (1 + k_consumers);
constexpr int k_cluster = 2;
constexpr int k_half_columns = k_group_columns / k_cluster;
constexpr int k_row_bytes = sm90::k_row_bytes;
constexpr int k_producer_registers = 72;
constexpr int k_consumer_registers = 216;

struct alignas(1024) shared_memory {
    uint8_t q[k_stages][k_group_rows * k_row_bytes];
    uint8_t k[k_stages][k_group_columns * k_row_bytes];
    product_place places[k_places];  // of the tiles that steps in the ring are of, and of the one before
    uint64_t full[k_stages], empty[k_stages];
};

// Calls work(number, slot) for a block's tiles, one after the other: for the warp that copies and for those that
// multiply alike. Both blocks of a cluster go through the same pairs of tiles. slot: of shared_memory::places.
template <typename F>
__device__ void for_each_tile(const product_places<k_pair_rows> & places, const F & work) {
    const int64_t n = places.size();
    int slot = 0;
    for (int64_t number = blockIdx.x / k_cluster; number < n; number += gridDim.x / k_cluster) {
        work(number, slot);
        slot = slot + 1 < k_places ? slot + 1 : 0;
    }
}

__device__ inline void copy_steps(const group_params & p, int64_t n_heads, const CUtensorMap & q_map,
                                  const CUtensorMap & k_map, shared_memory & shared) {
    constexpr uint16_t all = (1 << k_cluster) - 1;
    const auto rank = static_cast<int32_t>(ptx::cluster_rank());
    sm90::ring<k_stages> ring;
    const product_places<k_pair_rows> places(p.groups, n_heads);
    for_each_tile(places, [&](int64_t number, int slot) {
        product_place place = places[number];
        place.row += int64_t{rank} * k_group_rows;
        shared.places[slot] = place;  // seen by whoever waits for a step that is copied from here on
        const int64_t head_kv = (p.head_begin + place.head) / p.group - p.head_begin / p.group;
        const auto q_row = static_cast<int32_t>(place.head * p.q_rows + place.row);
        const auto k_group = static_cast<int32_t>(place.column) + rank * k_half_columns;
        for (int32_t depth = 0, dim = 0, key = 0; depth < p.depth; depth += k_depth) {
            ptx::barrier_wait(shared.empty[ring.slot], ring.parity ^ 1);  // in both blocks
            uint64_t & full = shared.full[ring.slot];
            ptx::barrier_arrive_expect(full, sizeof shared.q[0] + sizeof shared.k[0]);
            ptx::load_box(ptx::shared_address(shared.q[ring.slot]), &q_map, full, depth, q_row, 0, 0);
            ptx::load_box_to_all(ptx::shared_address(shared.k[ring.slot]) + rank * k_half_columns * k_row_bytes, &k_map,
                                 full, all, dim, k_group, key, static_cast<int32_t>(head_kv));
            dim += k_depth;
            if (dim == p.in_place.d) {
                dim = 0;
                ++key;
            }
            ring.advance();
        }
    });
}

// Three warps that have nothing else to do: the next wave's queries, while the memory is idle.
template <typename T>
__device__ inline void pack_next(const pack_params & p) {
    constexpr int k_pack_threads = 96;
    constexpr int k_in_flight = 3;
    const int64_t n_groups = p.groups.size();
    for (int64_t i = blockIdx.x; i < n_groups * p.n_heads; i += gridDim.x) {
        pack_queries<T, k_in_flight>(p, i % n_groups, i / n_groups, static_cast<int32_t>(threadIdx.x) % 128 - 32,
                                     k_pack_threads);
    }
}

template <typename T>
class multiplier {
  public:
    __device__ multiplier(const group_params & p, shared_memory & shared, int warpgroup)
        : p_(p), shared_(shared), warpgroup_(warpgroup) {}

    __device__ void run(int64_t n_heads) {
        for_each_tile({p_.groups, n_heads}, [&](int64_t, int slot) {
            float products[k_group_columns / 2];
            multiply(products);
            store(shared_.places[slot], products);
        });
    }

  private:
    __device__ void multiply(float (&products)[k_group_columns / 2]) {
        int last = 0;  // the slot that instructions in flight read
        for (int32_t depth = 0; depth < p_.depth; depth += k_depth) {
            ptx::barrier_wait(shared_.full[ring_.slot], ring_.parity);
            const uint64_t q =
                ptx::matrix_descriptor(ptx::shared_address(shared_.q[ring_.slot]) + warpgroup_ * 64 * k_row_bytes, 16);
            const uint64_t k = ptx::matrix_descriptor(ptx::shared_address(shared_.k[ring_.slot]), 16);
            ptx::wgmma_fence();
#pragma unroll
            for (int part = 0; part < k_depth / 16; ++part) {
                ptx::wgmma<T, k_group_columns>::ss(products, ptx::advance(q, part * 32), ptx::advance(k, part * 32),
                                                   depth + part != 0);
            }
            ptx::wgmma_commit();
            if (depth > 0) {
                ptx::wgmma_wait<1>();
                release(last);
            }
            last = ring_.slot;
            ring_.advance();
        }
        ptx::wgmma_wait<0>();
        ptx::hold(products);
        release(last);
    }
    // To both blocks, as each copies into both.
    __device__ void release(int slot) {
        __syncwarp();
        if (threadIdx.x % 32 < k_cluster) {
            ptx::barrier_arrive(shared_.empty[slot], threadIdx.x % 32);
        }
    }

    __device__ void store(const product_place & place, const float (&products)[k_group_columns / 2]) {
        const int own_row =
            warpgroup_ * 64 + static_cast<int>(threadIdx.x) % 128 / 32 * 16 + static_cast<int>(threadIdx.x) % 32 / 4;
#pragma unroll
        for (int stretch = 0; stretch < k_group_columns / k_stretch; ++stretch) {
#pragma unroll
            for (int r = 0; r < 2; ++r) {
                float own[16];
#pragma unroll
                for (int j = 0; j < 16; ++j) {
                    own[j] = products[stretch * 32 + j / 2 * 4 + r * 2 + j % 2];
                }
                store_stretch(p_, place.head, place.row + own_row + r * 8, place.column + stretch * k_stretch, own);
            }
        }
    }

    const group_params & p_;
    shared_memory & shared_;
    const int warpgroup_;
    sm90::ring<k_stages> ring_;
};

template <typename T>
__global__ void __cluster_dims__(k_cluster, 1, 1) __launch_bounds__(k_threads, 1)
    group_kernel(const __grid_constant__ group_params p, int64_t n_heads, const __grid_constant__ CUtensorMap q_map,
                 const __grid_constant__ CUtensorMap k_map) {
    extern __shared__ uint8_t raw[];
    shared_memory & shared = *reinterpret_cast<shared_memory *>(raw + (1024 - ptx::shared_address(raw) % 1024) % 1024);
    if (threadIdx.x == 0) {
        for (int i = 0; i < k_stages; ++i) {
            ptx::barrier_init(shared.full[i], 1);
            ptx::barrier_init(shared.empty[i], k_cluster * k_consumers * 4);
        }
        ptx::barrier_init_fence();
        ptx::prefetch_tensor_map(&q_map);
        ptx::prefetch_tensor_map(&k_map);
    }
    ptx::cluster_sync();
    const auto warpgroup = static_cast<int>(threadIdx.x) / 128;
    if (warpgroup == k_consumers) {
        ptx::give_registers<k_producer_registers>();
        if (threadIdx.x % 128 == 0) {
            copy_steps(p, n_heads, q_map, k_map, shared);
        } else if (threadIdx.x % 128 >= 32) {
            pack_next<T>(p.next);
        }
    } else {
        ptx::take_registers<k_consumer_registers>();
        multiplier<T>(p, shared, warpgroup).run(n_heads);
    }
    ptx::cluster_sync();  // until then the other block copies into this one's shared memory and arrives at its barriers
}

template <typename T>
cudaError_t launch(const group_params & p, int64_t n_heads, cudaStream_t stream) {
    constexpr int bytes = sizeof(shared_memory) + 1024;
    static_assert(bytes <= 227 * 1024, "a block has at most 227 KiB of shared memory");
    constexpr bool bf16 = std::is_same_v<T, __nv_bfloat16>;
    const int64_t n_heads_kv = (p.head_begin + n_heads - 1) / p.group - p.head_begin / p.group + 1;
    CUtensorMap q_map;
    CUtensorMap k_map;
    int device = 0;
    int n_sm = 0;
    const int64_t stride = p.values.stride;
    const groups_in_place & keys = p.in_place;
    const sm90::tensor k =
        keys.keys != nullptr
            ? sm90::tensor{keys.keys,     keys.d, keys.stride_head, keys.stride_key, stride * keys.stride_key,
                           keys.n_groups, stride, n_heads_kv}
            : sm90::tensor{p.k, p.depth, p.k_rows * p.depth, 0, p.depth, p.k_rows, 1, n_heads_kv};
    cudaError_t error = sm90::make_map(sm90::matrix{p.q, n_heads * p.q_rows, p.depth}, k_group_rows, bf16, q_map);
    if (error == cudaSuccess) {
        error = sm90::make_map(k, k_half_columns, bf16, k_map);
    }
    if (error == cudaSuccess) {
        error = cudaGetDevice(&device);
    }
    if (error == cudaSuccess) {
        error = cudaDeviceGetAttribute(&n_sm, cudaDevAttrMultiProcessorCount, device);
    }
    if (error == cudaSuccess) {
        error = cudaFuncSetAttribute(group_kernel<T>, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
    }
    if (error != cudaSuccess) {
        return error;
    }
    const auto n_clusters = smaller(n_sm / k_cluster, product_places<k_pair_rows>(p.groups, n_heads).size());
    group_kernel<T>
        <<<static_cast<unsigned>(n_clusters * k_cluster), k_threads, bytes, stream>>>(p, n_heads, q_map, k_map);
    return cudaGetLastError();
}

}  // namespace

cudaError_t group_products_sm90(const group_params & p, int64_t n_heads, bool bf16, cudaStream_t stream) {
    return bf16 ? launch<__nv_bfloat16>(p, n_heads, stream) : launch<__half>(p, n_heads, stream);
}

}  // namespace tmx::cuda
