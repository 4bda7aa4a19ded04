#include "cli/host_build.h"

#include <dlfcn.h>
#include <elf.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/child_process.h"
#include "loader/ggml_version.h"
#include "runtime/program.h"

namespace tmx {
namespace {

namespace fs = std::filesystem;

// The dynamic loader that a program names; "" if it names none (statically linked) or is no 64-bit ELF program.
std::string loader_of(const std::string & program) {
    std::ifstream in(program, std::ios::binary);
    Elf64_Ehdr header{};
    in.read(reinterpret_cast<char *>(&header), sizeof(header));
    if (!in || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64) {
        return "";
    }
    for (uint64_t i = 0; i < header.e_phnum; ++i) {
        Elf64_Phdr segment{};
        in.seekg(static_cast<std::streamoff>(header.e_phoff + i * header.e_phentsize));
        in.read(reinterpret_cast<char *>(&segment), sizeof(segment));
        if (in && segment.p_type == PT_INTERP && segment.p_filesz > 1 && segment.p_filesz < 4096) {
            std::string path(segment.p_filesz, '\0');
            in.seekg(static_cast<std::streamoff>(segment.p_offset));
            in.read(path.data(), static_cast<std::streamsize>(path.size()));
            return in ? std::string(path.c_str()) : "";
        }
    }
    return "";
}

std::string program_of(const std::string & where) {
    if (fs::is_directory(where)) {
        for (const char * inside : {"/llama-server", "/bin/llama-server"}) {
            const std::string program = find_program(where + inside);
            if (!program.empty()) {
                return fs::absolute(program).lexically_normal().string();
            }
        }
        return "";
    }
    const std::string program = find_program(where);
    return program.empty() ? "" : fs::absolute(program).lexically_normal().string();
}

// Asks a libggml-base for its version and commit, in a process of its own: this one has another copy loaded.
bool ask_version(const std::string & library, std::string & version, std::string & commit) {
    int ends[2];
    if (pipe(ends) != 0) {
        return false;
    }
    const pid_t child = fork();
    if (child == 0) {
        using text_function = const char * (*)();
        void * handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
        bool written = false;
        if (handle != nullptr) {
            const auto ggml_version = reinterpret_cast<text_function>(dlsym(handle, "ggml_version"));
            const auto ggml_commit = reinterpret_cast<text_function>(dlsym(handle, "ggml_commit"));
            if (ggml_version != nullptr && ggml_commit != nullptr) {
                const std::string text = std::string(ggml_version()) + "\n" + ggml_commit() + "\n";
                written = write(ends[1], text.data(), text.size()) == static_cast<ssize_t>(text.size());
            }
        }
        _exit(written ? 0 : 1);
    }
    close(ends[1]);
    std::string text;
    char buffer[256];
    for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof(buffer))) > 0;) {
        text.append(buffer, static_cast<size_t>(n));
    }
    close(ends[0]);
    int status = 0;
    if (child > 0) {
        waitpid(child, &status, 0);
    }
    std::istringstream lines(text);
    return static_cast<bool>(std::getline(lines, version)) && static_cast<bool>(std::getline(lines, commit));
}

}  // namespace

std::string host_build::refusal() const {
    if (kind == host_kind::unloadable) {
        return problem;
    }
    return parts_for(ggml_version, tries_newer_ggml()).refusal;
}

std::string host_build::how() const {
    switch (kind) {
        case host_kind::dynamic:
            return "it loads its backends at run time: GGML_BACKEND_PATH names ours";
        case host_kind::linked:
            return "its backends are linked in: ours is preloaded (LD_PRELOAD)";
        case host_kind::unloadable:
            return problem;
    }
    return problem;
}

host_build inspect_host(const std::string & where) {
    host_build host;
    host.program = program_of(where);
    if (host.program.empty()) {
        host.problem = fs::is_directory(where)
                           ? "no llama-server in " + where + " or its bin folder"
                           : "no program '" + where + "' (not on PATH, not executable, or not there)";
        return host;
    }
    const std::string loader = loader_of(host.program);
    if (loader.empty()) {
        host.problem = host.program +
                       " is a script or statically linked: it cannot load a backend. Name the llama.cpp program " +
                       "itself, built with -DBUILD_SHARED_LIBS=ON.";
        return host;
    }
    const child_result listed = run_child({loader, "--list", host.program});
    bool cpu_linked = false;
    std::istringstream lines(listed.output);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string name;
        std::string arrow;
        std::string path;
        words >> name >> arrow >> path;
        if (name.starts_with("libggml-base")) {
            host.ggml_library = path;
        }
        cpu_linked = cpu_linked || name.starts_with("libggml-cpu");
        host.cuda = host.cuda || name.starts_with("libggml-cuda");
    }
    std::error_code error;
    for (const std::string & beside : {host.program, host.ggml_library}) {
        host.cuda = host.cuda || fs::exists(fs::path(beside).parent_path() / "libggml-cuda.so", error);
    }
    if (listed.exit_code != 0) {
        host.problem = "the dynamic loader cannot load " + host.program + ": " + listed.output;
    } else if (host.ggml_library.empty()) {
        host.problem = host.program + " does not use a shared libggml, so it cannot load a backend. " +
                       "Build llama.cpp with -DBUILD_SHARED_LIBS=ON.";
    } else if (!ask_version(host.ggml_library, host.ggml_version, host.ggml_commit)) {
        host.problem = host.ggml_library + " does not tell its version: it is older than any that we know";
    } else {
        host.kind = cpu_linked ? host_kind::linked : host_kind::dynamic;
    }
    return host;
}

std::string backend_library() {
    return library_beside("libggml-trianglemix.so");
}

std::string preload_library() {
    return library_beside("libtrianglemix-preload.so");
}

}  // namespace tmx
