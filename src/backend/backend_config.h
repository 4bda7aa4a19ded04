// The backend's settings, read from TRIANGLEMIX_* environment variables (docs/env.md). A pure function of the strings,
// but for the plan file that they may name. Nothing of ggml.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trianglemix/backend_control.h"
#include "trianglemix/environment_plan.h"

namespace tmx {

constexpr int64_t k_default_min_rows = TMX_DEFAULT_MIN_ROWS;
// On an H200 with an 8B model the attention of 512 tokens is 2% of the time, and handing each layer's over costs as
// much.
constexpr int64_t k_default_min_keys = 1024;

// Who computes a prompt's matrix products on the CPU.
enum class product_way : uint8_t {
    off,      // the host
    fastest,  // we, where that is known to be faster: in the host's arithmetic; with fast precision, in bf16, too
    host,     // we, where that is known to be faster, in the host's arithmetic
    f32,      // we, in f32
    bf16,     // we, in bf16
};
const char * name_of(product_way way);

struct backend_config {
    bool disabled = false;                  // TRIANGLEMIX_DISABLE
    bool strict = false;                    // TRIANGLEMIX_STRICT
    bool cpu_proxy = false;                 // TRIANGLEMIX_CPU_PROXY: offer a device in front of the CPU
    std::optional<plan> chosen;             // plan_of_environment()
    std::optional<precision> arithmetic;    // TRIANGLEMIX_PRECISION; none: the plan's
    int64_t min_rows = k_default_min_rows;  // TRIANGLEMIX_MIN_ROWS: claim attention of at least that many rows; >= 1
    int64_t min_keys = k_default_min_keys;  // TRIANGLEMIX_MIN_KEYS: on a GPU, of at least that many keys; >= 1
    std::optional<int64_t> scratch_mb;      // TRIANGLEMIX_SCRATCH_MB: on a GPU, MiB that the kernels may take; >= 0
    std::string kernel;                     // TRIANGLEMIX_KERNEL: name of a CPU kernel; "": the best. Not checked here
    product_way products = product_way::fastest;  // TRIANGLEMIX_PRODUCTS
    std::optional<int64_t> products_min_rows;  // TRIANGLEMIX_PRODUCTS_MIN_ROWS: >= 1; none: as measured of the kernel
    std::string rpc;           // TRIANGLEMIX_RPC: rpc-servers to offer devices of, "HOST:PORT,HOST:PORT"; "": none
    std::string stats;         // TRIANGLEMIX_STATS: "" none, "1" a summary at exit, else a file for JSON
    std::string stats_socket;  // TRIANGLEMIX_STATS_SOCKET: where other programs read statistics; "": nowhere
    std::string status;        // TRIANGLEMIX_STATUS: a file that gets one line on how registration went
};

struct config_result {
    backend_config config;  // what was good; a bad value leaves its default, a bad plan leaves none
    std::vector<environment_problem> problems;

    bool any_bad_value() const;
};

// `environment`: "NAME=VALUE" strings; those not starting with TRIANGLEMIX_ are ignored, a later one replaces an
// earlier one of the same name, an empty value is as good as none.
config_result read_config(std::span<const std::string> environment, plan_loader load = load_plan);

// The current process's TRIANGLEMIX_* strings.
std::vector<std::string> process_environment();

}  // namespace tmx
