#include "cli/options.h"

#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "cli/build_info.h"
#include "cli/input_file.h"
#include "cli/terminal.h"
#include "runtime/backend.h"
#include "runtime/failure.h"
#include "trianglemix/backend_control.h"

namespace tmx {

std::string model_options::file() const {
    return path.empty() ? default_model() : path;
}

void model_options::check_file() const {
    const std::string problem = file_problem(file());
    if (problem.empty()) {
        return;
    }
    if (std::filesystem::exists(file())) {
        throw failure(problem);
    }
    throw failure(path.empty() ? "the embedded model is not there: " + file() +
                                     "\nRun scripts/setup.sh to fetch and convert it, or name a model with -m."
                               : "no model file at " + path);
}

void add_model_options(CLI::App & app, model_options & options, bool on_gpus) {
    shown(app.add_option("-m,--model", options.path, "GGUF file"), "FILE", "the embedded SmolLM2-135M-Instruct, Q8_0");
    shown(app.add_option("-t,--threads", options.threads, "threads")->check(whole_number(0, 4096)), "N",
          "all that this process may use");
    shown(app.add_option("-c,--ctx", options.n_ctx, "context in tokens")->check(whole_number(0, 1 << 27)), "N",
          "what the model was trained for");
    shown(app.add_option("--ubatch", options.n_ubatch, "also -ub: prompt tokens of one evaluation, in our arms")
              ->check(whole_number(TMX_DEFAULT_MIN_ROWS, 1 << 20)),
          "N", "2048");
    if (on_gpus) {
        shown(app.add_option("--device", options.device,
                             "compute on that GPU, e.g. TriangleMix0 (trianglemix info lists them)"),
              "NAME", "the CPU");
    }
    app.add_flag("-v,--verbose", options.verbose, "show llama.cpp's own messages on stderr");
}

model load_model(const model_options & options, const std::atomic<bool> & stop) {
    options.check_file();
    const std::string file = options.file();
    std::istringstream log(options.verbose ? "" : recent_log());
    for (std::string line; std::getline(log, line);) {
        if (const size_t at = line.find("TriangleMix: "); at != std::string::npos) {
            tell("note: " + line.substr(at));
        }
    }
    const bool live = isatty(STDERR_FILENO) == 1;
    double last = 0;
    const auto progress = [&](float share) {
        const double now = seconds_now();
        // Small models load in less than the first redraw.
        if (live && last != 0 && now - last > 0.2) {
            show_live(fmt::format("loading {}: {:.0f}%", show_file(file), 100 * static_cast<double>(share)));
            last = now;
        } else if (last == 0) {
            last = now;
        }
        return !stop.load(std::memory_order_relaxed);
    };
    model loaded(file, progress, true, options.device);
    if (live) {
        clear_live();
    }
    const int32_t trained = loaded.facts().n_ctx_train;
    if (trained > 0 && options.n_ctx > trained) {
        tell(fmt::format(
            "note: -c {} is beyond the {} tokens that {} was trained for; what it says about a longer prompt "
            "may be nonsense",
            options.n_ctx, trained, show_file(file)));
    }
    return loaded;
}

}  // namespace tmx
