#include "select/methods.h"

#include <algorithm>
#include <iterator>

#include "select/known_methods.h"

namespace tmx {
namespace {

#ifdef TMX_CUDA
#define TMX_IF_CUDA(function) (&(function))
#else
#define TMX_IF_CUDA(function) nullptr
#endif

// In the order of k_known_methods.
constexpr method_row k_rows[] = {
    {"stride", true, &select_stride, TMX_IF_CUDA(cuda_select_stride), nullptr},
    {"means", false, &select_means, TMX_IF_CUDA(cuda_select_means), TMX_IF_CUDA(cuda_means_workspace_bytes)},
    {"prism", false, &select_prism, TMX_IF_CUDA(cuda_select_prism), TMX_IF_CUDA(cuda_prism_workspace_bytes)},
    {"xattention", false, &select_xattention, TMX_IF_CUDA(cuda_select_xattention),
     TMX_IF_CUDA(cuda_xattention_workspace_bytes)},
};

#undef TMX_IF_CUDA

static_assert(std::equal(std::begin(k_rows), std::end(k_rows), std::begin(k_known_methods), std::end(k_known_methods),
                         [](const method_row & row, const selection_method & m) { return row.name == m.name; }),
              "the two tables differ in their methods");

}  // namespace

const method_row & row_of_method(int32_t method) {
    return k_rows[method];
}

}  // namespace tmx
