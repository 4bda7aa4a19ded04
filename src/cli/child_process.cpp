#include "cli/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <sstream>

namespace tmx {

int exit_code_of(int wait_status) {
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

std::string find_program(const std::string & name) {
    const auto executable = [](const std::string & path) {
        return std::filesystem::is_regular_file(path) && access(path.c_str(), X_OK) == 0;
    };
    if (name.find('/') != std::string::npos) {
        return executable(name) ? name : "";
    }
    const char * path = std::getenv("PATH");
    std::istringstream folders(path != nullptr ? path : "");
    for (std::string folder; std::getline(folders, folder, ':');) {
        std::string candidate = (folder.empty() ? "." : folder) + "/" + name;
        if (executable(candidate)) {
            return candidate;
        }
    }
    return "";
}

std::vector<char *> argument_vector(const std::vector<std::string> & arguments) {
    std::vector<char *> argv;
    argv.reserve(arguments.size() + 1);
    for (const std::string & argument : arguments) {
        argv.push_back(const_cast<char *>(argument.c_str()));
    }
    argv.push_back(nullptr);
    return argv;
}

child_result run_child(const std::vector<std::string> & arguments, const std::string & input) {
    int in[2];
    int out[2];
    if (pipe2(in, O_CLOEXEC) != 0) {
        return {};
    }
    if (pipe2(out, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return {};
    }
    std::vector<char *> argv = argument_vector(arguments);
    const pid_t child = fork();
    if (child == 0) {
        dup2(in[0], STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(out[1], STDERR_FILENO);
        execvp(argv[0], argv.data());
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    child_result result;
    if (child > 0) {
        // A child that ends before it has read everything must not end us.
        struct sigaction ignore {};
        struct sigaction before {};
        ignore.sa_handler = SIG_IGN;
        sigaction(SIGPIPE, &ignore, &before);
        size_t written = 0;
        bool writing = true;
        char buffer[4096];
        for (bool reading = true; reading;) {
            if (writing && written == input.size()) {
                close(in[1]);
                writing = false;
            }
            pollfd ends[2] = {{out[0], POLLIN, 0}, {writing ? in[1] : -1, POLLOUT, 0}};
            if (poll(ends, 2, -1) < 0 && errno != EINTR) {
                break;
            }
            if (ends[1].revents != 0) {
                const ssize_t n = write(in[1], input.data() + written, input.size() - written);
                written = n > 0 ? written + static_cast<size_t>(n) : input.size();
            }
            if (ends[0].revents != 0) {
                const ssize_t n = read(out[0], buffer, sizeof(buffer));
                if (n > 0) {
                    result.output.append(buffer, static_cast<size_t>(n));
                }
                reading = n > 0 || (n < 0 && errno == EINTR);
            }
        }
        if (writing) {
            close(in[1]);
        }
        sigaction(SIGPIPE, &before, nullptr);
        int status = 0;
        while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
        result.exit_code = exit_code_of(status);
    } else {
        close(in[1]);
    }
    close(out[0]);
    return result;
}

}  // namespace tmx
