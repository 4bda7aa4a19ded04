// ggml_backend_init: decides whether to serve this process, and as what.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/backend_config.h"
#include "backend/product_settings.h"
#include "backend/settings.h"
#include "backend/statistics.h"
#include "backend/statistics_file.h"
#include "backend/statistics_json.h"
#include "backend/statistics_socket.h"
#include "backend/statistics_summary.h"
#include "backend/status_file.h"
#include "glue/abi.h"
#include "glue/accel_device.h"
#include "glue/backend_common.h"
#include "glue/control.h"
#include "glue/layout_probe.h"
#include "glue/proxy/communication.h"
#include "glue/proxy/cpu_proxy.h"
#include "glue/proxy/proxy_device.h"
#include "glue/proxy/rpc_candidates.h"
#include "glue/running_ggml.h"
#include "trianglemix/backend_control.h"

namespace tmx {
namespace {

bool switched_on = false;
bool with_cpu_device = false;
std::string stats_where;  // TRIANGLEMIX_STATS

// Made where it is first asked for, so never by a library that refuses to register. Never destroyed: hosts free their
// backends while the process exits, in any order.
std::vector<std::unique_ptr<proxy_device>> & proxies() {
    static auto & devices = *new std::vector<std::unique_ptr<proxy_device>>;
    return devices;
}

// In front of the CPU, where it was asked for; never destroyed either.
proxy_device * cpu_proxy = nullptr;

size_t n_devices() {
    return switched_on ? (with_cpu_device ? 1 : 0) + proxies().size() + (cpu_proxy != nullptr ? 1 : 0) : 0;
}

const char * registry_name(ggml_backend_reg_t) noexcept {
    return TMX_BACKEND_NAME;
}

size_t registry_device_count(ggml_backend_reg_t) noexcept {
    return n_devices();
}

ggml_backend_dev_t registry_device(ggml_backend_reg_t reg, size_t index) noexcept {
    if (index >= n_devices()) {
        return nullptr;
    }
    const size_t first_proxy = with_cpu_device ? 1 : 0;
    if (index < first_proxy) {
        return accel_device(reg);
    }
    const size_t proxy = index - first_proxy;
    return proxy < proxies().size() ? proxies()[proxy]->handle() : cpu_proxy->handle();
}

// What a wrapped backend's registry offers beyond ours is passed on where it takes no backend and no device, since it
// would not know a proxy's; what a tensor split asks for, with the backends that are behind the proxies.
void * registry_address(ggml_backend_reg_t, const char * name) noexcept {
    if (void * ours = control_address(name)) {
        return ours;
    }
    if (void * passed_on = communication_address(name)) {
        return passed_on;
    }
    for (const char * neutral : {"ggml_backend_register_host_buffer", "ggml_backend_unregister_host_buffer"}) {
        if (std::string_view(name) == neutral && !proxies().empty()) {
            return ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(proxies().front()->wrapped()), name);
        }
    }
    return nullptr;
}

ggml_backend_reg registry = {
    .api_version = GGML_BACKEND_API_VERSION,
    .iface = {.get_name = c_callback(registry_name),
              .get_device_count = c_callback(registry_device_count),
              .get_device = c_callback(registry_device),
              .get_proc_address = c_callback(registry_address)},
    .context = nullptr,
};

std::string statistics_now() {
    return statistics_json(process_statistics().read(), process_settings(), running_ggml()) + "\n";
}

// At exit the host's log sink may be gone already, so this goes where the user asked for it: stderr or a file.
void write_statistics() noexcept {
    try {
        if (process_statistics().idle()) {
            return;  // a router, say, which only starts the processes that compute
        }
        if (stats_where == "1") {
            std::fputs(statistics_summary(process_statistics().read(), process_settings()).c_str(), stderr);
            return;
        }
        const std::string problem = write_statistics_file(stats_where, statistics_now());
        if (!problem.empty()) {
            std::fprintf(stderr, "TriangleMix: cannot write the statistics to TRIANGLEMIX_STATS=%s: %s\n",
                         stats_where.c_str(), problem.c_str());
        }
    } catch (...) {
        std::fputs("TriangleMix: no memory for the statistics\n", stderr);
    }
}

// A server without them serves all the same, so this is a warning.
void offer_statistics(const std::string & path) {
    if (path.empty()) {
        return;
    }
    if (const std::string problem = open_statistics_socket(path, statistics_now); !problem.empty()) {
        GGML_LOG_WARN("TriangleMix: TRIANGLEMIX_STATS_SOCKET: cannot open %s: %s\n", path.c_str(), problem.c_str());
    }
}

// Says in the file that TRIANGLEMIX_STATUS names how registration went.
void write_status(const std::string & where, const std::string & refusal) {
    registration_status status{
        .refusal = refusal, .version = TMX_VERSION, .devices = n_devices(), .kernel = "", .gpus = {}};
    if (switched_on) {  // a refused library is unloaded again and must leave nothing behind
        for (const std::unique_ptr<proxy_device> & proxy : proxies()) {
            status.gpus.push_back(
                {proxy->candidate().name, ggml_backend_dev_name(proxy->wrapped()), proxy->candidate().kernel});
        }
    }
    if (refusal.empty()) {
        status.kernel = kernel_in_use(process_settings().snapshot());
    }
    if (!append_status(where, status)) {
        GGML_LOG_WARN("TriangleMix: cannot write to TRIANGLEMIX_STATUS=%s\n", where.c_str());
    }
}

// Reports what is wrong with the settings, repairs what it can, and says whether strict mode forbids to go on.
std::string check_settings(config_result & read) {
    if (std::string problem = settings::kernel_problem(read.config.kernel); !problem.empty()) {
        read.problems.push_back({true, std::move(problem)});
        read.config.kernel.clear();
    }
    std::string & stats = read.config.stats;
    if (!stats.empty() && stats != "1") {
        stats = statistics_path(stats);
        if (const std::string problem = statistics_path_problem(stats); !problem.empty()) {
            read.problems.push_back({true, "TRIANGLEMIX_STATS: cannot write " + stats + ": " + problem});
            stats.clear();
        } else if (statistics_path_taken(stats)) {
            read.problems.push_back({false, "TRIANGLEMIX_STATS: " + stats +
                                                " holds something already and stays as it is; statistics go beside it, "
                                                "with this process's id in the name"});
        }
    }
    if (std::string problem = product_problem(read.config); !problem.empty()) {
        read.problems.push_back({false, std::move(problem)});
    }
    settings trial;  // not the process's, which is never destroyed: a refused library is unloaded again
    trial.apply(read.config);
    if (std::string problem = trial.precision_problem(trial.snapshot().arithmetic); !problem.empty()) {
        read.problems.push_back({true, std::move(problem)});
    }
    std::string bad_values;
    for (const environment_problem & problem : read.problems) {
        if (problem.bad_value) {
            GGML_LOG_ERROR("TriangleMix: %s\n", problem.text.c_str());
            bad_values += bad_values.empty() ? "" : "; ";
            bad_values += problem.text;
        } else {
            GGML_LOG_WARN("TriangleMix: %s\n", problem.text.c_str());
        }
    }
    return read.config.strict ? bad_values : "";
}

void make_proxies(const backend_config & config) {
    proxy_limits limits;
    if (config.scratch_mb) {
        limits.scratch = {.most_bytes = *config.scratch_mb << 20, .share = 1};
    }
    std::vector<proxy_facts> facts;
    const auto add = [&](proxy_candidate & candidate, const std::string & how, const proxy_limits & most) {
        const std::string wraps = ggml_backend_dev_name(candidate.device);
        GGML_LOG_INFO("TriangleMix %s: device %s in front of %s%s; choose it with --device %s\n", TMX_VERSION,
                      candidate.name.c_str(), wraps.c_str(), how.c_str(), candidate.name.c_str());
        facts.push_back({candidate.name, wraps, candidate.kernel});
        proxies().push_back(std::make_unique<proxy_device>(&registry, std::move(candidate), most));
    };
    for (proxy_candidate & candidate : proxy_candidates()) {
        add(candidate, ", kernel " + candidate.kernel, limits);
    }
    for (proxy_candidate & candidate : rpc_candidates(config.rpc)) {
        add(candidate, " " + candidate.kernel, k_no_scratch);
    }
    process_statistics().set_proxies(std::move(facts));
}

void make_cpu_proxy(const backend_config & config) {
    std::optional<proxy_candidate> candidate;
    if (config.cpu_proxy && with_cpu_device) {
        candidate = cpu_proxy_candidate();
    }
    if (candidate) {
        GGML_LOG_INFO("TriangleMix %s: device %s in front of %s; choose it with rpc-server's --device %s\n",
                      TMX_VERSION, candidate->name.c_str(), ggml_backend_dev_name(candidate->device),
                      candidate->name.c_str());
        cpu_proxy = new proxy_device(&registry, std::move(*candidate), k_no_scratch);
    } else if (config.cpu_proxy) {
        GGML_LOG_WARN("TriangleMix: TRIANGLEMIX_CPU_PROXY: no device in front of the CPU: %s\n",
                      with_cpu_device ? "this program has none" : "no kernel of this build runs on it");
    }
}

void report_cpu_kernel(const std::string & kernel, bool picked) {
    if (!with_cpu_device) {
        GGML_LOG_WARN(
            "TriangleMix %s: no kernel of this build runs on this CPU: no CPU device, its prompts are left to the "
            "host\n",
            TMX_VERSION);
    } else if (picked && kernel == "portable") {
        GGML_LOG_WARN(
            "TriangleMix %s: none of the kernels for special instructions runs on this CPU; the portable one is right, "
            "but may well be slower than the host's own code (TRIANGLEMIX_DISABLE=1 leaves it alone)\n",
            TMX_VERSION);
    }
}

// Whether the off switch is set; then it is said, once.
bool report_off_switch() {
    const plan_loader none = [](const std::string &) noexcept { return parsed<plan>(); };  // read by start(), if at all
    const backend_config config = read_config(process_environment(), none).config;
    if (config.disabled) {
        GGML_LOG_INFO("TriangleMix %s: switched off by TRIANGLEMIX_DISABLE\n", TMX_VERSION);
        write_status(config.status, "switched off by TRIANGLEMIX_DISABLE");
    }
    return config.disabled;
}

// Tried once: whoever picks a part has asked before the part starts.
const std::string & hosts_difference() {
    static const std::string difference = layout_difference();
    return difference;
}

ggml_backend_reg_t start() {
    if (report_off_switch()) {
        return nullptr;  // a host that does not ask for the score
    }
    config_result read = read_config(process_environment());
    if (const std::string & difference = hosts_difference(); !difference.empty()) {
        const std::string refusal = "this program's ggml " + std::string(running_ggml().version) +
                                    " is not laid out as that which this part was built for: " + difference;
        GGML_LOG_ERROR("TriangleMix: %s\n", refusal.c_str());
        write_status(read.config.status, refusal);
        return nullptr;
    }
    const std::string bad_values = check_settings(read);
    if (!bad_values.empty()) {
        GGML_LOG_ERROR("TriangleMix: not registering, since TRIANGLEMIX_STRICT is set and a setting is bad\n");
        write_status(read.config.status, bad_values);
        return nullptr;
    }
    process_settings().apply(read.config);
    switched_on = true;
    with_cpu_device = cpu_device_runs();
    make_proxies(read.config);
    make_cpu_proxy(read.config);
    const settings_snapshot snapshot = process_settings().snapshot();
    report_cpu_kernel(kernel_in_use(snapshot), read.config.kernel.empty());
    if (n_devices() == 0) {
        write_status(read.config.status, "no kernel of this build runs on this CPU, and there is no GPU for it");
        return &registry;
    }
    GGML_LOG_INFO("TriangleMix %s: registered; kernel %s, precision %s, plan %s, prompts of at least %lld tokens\n",
                  TMX_VERSION, kernel_in_use(snapshot).c_str(), precision_in_words(snapshot).c_str(),
                  snapshot.chosen ? snapshot.chosen->name.c_str() : "none (exact)",
                  static_cast<long long>(read.config.min_rows));
    if (process_settings().products().take_any()) {
        GGML_LOG_INFO("TriangleMix %s: takes prompts' matrix products, kernel %s, TRIANGLEMIX_PRODUCTS=%s\n",
                      TMX_VERSION, product_kernel(read.config.kernel).c_str(), name_of(read.config.products));
    }
    offer_statistics(statistics_path(read.config.stats_socket));
    write_status(read.config.status, "");
    if (!read.config.stats.empty()) {
        stats_where = read.config.stats;
        std::atexit(c_callback(write_statistics));
    }
    return &registry;
}

}  // namespace
}  // namespace tmx

extern "C" __attribute__((visibility("default"))) ggml_backend_reg_t ggml_backend_init(void);
extern "C" __attribute__((visibility("default"))) int ggml_backend_score(void);
extern "C" __attribute__((visibility("default"))) const char * trianglemix_layout_difference(void);

// ggml asks it before it registers a library, to pick one of several; 0 means "not on this system", and the library is
// closed again without a word above information level. So a library that is switched off is no backend at all: hosts
// list registries, too, not only devices (llama-bench's "backend" column).
extern "C" int ggml_backend_score(void) {
    try {
        return tmx::report_off_switch() ? 0 : 1;
    } catch (const std::exception & error) {
        GGML_LOG_ERROR("TriangleMix: not registering: %s\n", error.what());
    } catch (...) {
        GGML_LOG_ERROR("TriangleMix: not registering: unknown error\n");
    }
    return 0;
}

// Asked by the library that picks one of the parts for this process (src/loader): "" if this one's layout is the
// host's, else what differs; null without memory. Lives as long as the part.
extern "C" const char * trianglemix_layout_difference(void) {
    try {
        return tmx::hosts_difference().c_str();
    } catch (...) {
        return nullptr;
    }
}

// Called once by a host that loads the library, and once more if it is loaded by two ways; both get the same registry.
extern "C" ggml_backend_reg_t ggml_backend_init(void) {
    try {
        static ggml_backend_reg_t served = tmx::start();
        return served;
    } catch (const std::exception & error) {
        GGML_LOG_ERROR("TriangleMix: not registering: %s\n", error.what());
    } catch (...) {
        GGML_LOG_ERROR("TriangleMix: not registering: unknown error\n");
    }
    return nullptr;
}
