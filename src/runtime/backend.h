// runtime/backend.h -- loads ggml's backends and ours, and controls ours through its proc addresses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tmx {

struct backend_paths {
    std::string llama_bin;  // folder with llama.cpp's shared libraries; its backends are loaded from there (a DL build)
    std::string library;    // our libggml-trianglemix.so; empty: do not load it
};

// Where this build put them: llama.cpp's folder is fixed at configure time, our library lies beside the executable.
// TRIANGLEMIX_LIBRARY and TRIANGLEMIX_LLAMA_BIN are not asked: a tool must not silently run other code than it says.
backend_paths default_backend_paths();

// The process's ggml backends, with ours among them. ggml keeps what it loaded until the process ends, so make one.
//
// ERRORS   failure: no CPU backend was found, or ours did not register (with the reasons that ggml logged).
// THREADS  Not reentrant; call between evaluations.
class backend {
  public:
    // Loads everything, behind keep_log_messages(verbose).
    backend(const backend_paths & paths, bool verbose);

    bool loaded() const;  // ours registered and has a device

    // REQUIRES loaded(), for all of these.
    void set_enabled(bool enabled);  // holds for contexts created afterwards
    std::string statistics() const;  // of all contexts: JSON text, docs/env.md
    void reset_statistics();

    // What this thread makes between begin and end is the context that the number stands for.
    // ERRORS failure (end: no context was made). REQUIRES, of the rest: the context lives.
    int64_t begin_context();
    void end_context(int64_t context);
    void set_plan(int64_t context, const std::string & json);       // "" = no plan, everything exact
    void set_prompt_length(int64_t context, int64_t n_tokens);      // < 0: unknown
    void set_precision(int64_t context, const std::string & name);  // "exact", "fast"
    std::string statistics(int64_t context) const;
    void reset_statistics(int64_t context);

    struct device {
        std::string name;
        std::string description;
        std::string registry;
    };
    static std::vector<device> devices();

    struct memory {
        size_t n_free;
        size_t n_total;
    };
    static memory memory_of(const std::string & device);  // bytes; "": of the host. 0, 0: no such device

  private:
    void * registry_ = nullptr;
    void load_ours(const std::string & path);
};

// From now on messages of ggml and llama.cpp are shown on stderr when `verbose`; otherwise the warnings and errors
// among them are kept for recent_log(). A backend does this, too; it is for a process that only reads a model's header.
void keep_log_messages(bool verbose);

// Warnings and errors that llama.cpp and ggml logged since the last call, newest last, one a line; "" if none.
std::string recent_log();

std::string ggml_version_text();  // "0.25.3 (0c1e57098)"
std::string llama_version_text();

}  // namespace tmx
