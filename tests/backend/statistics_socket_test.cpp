// Statistics for other programs while the host runs.
#include "backend/statistics_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace tmx::test {
namespace {

std::string folder() {
    static const std::string made = [] {
        std::string name = (std::filesystem::temp_directory_path() / "tmx-socket-XXXXXX").string();
        return std::string(mkdtemp(name.data()));
    }();
    return made;
}

int connected(const std::string & path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    const int connection = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(connection, reinterpret_cast<const sockaddr *>(&address), sizeof(address)) == 0 ? connection : -1;
}

// All that comes from the socket; "none" if nobody listens.
std::string read_all(const std::string & path) {
    const int connection = connected(path);
    if (connection < 0) {
        return "none";
    }
    std::string text;
    char buffer[4096];
    for (ssize_t n = 0; (n = read(connection, buffer, sizeof(buffer))) > 0;) {
        text.append(buffer, static_cast<size_t>(n));
    }
    close(connection);
    return text;
}

// The process that offers them is another one, as ever: it ends, and then nothing is left.
TEST(statistics_socket_test, answers_until_the_process_ends) {
    const std::string path = folder() + "/answers";
    int ready[2];
    int end[2];
    ASSERT_EQ(pipe(ready), 0);
    ASSERT_EQ(pipe(end), 0);
    const pid_t child = fork();
    if (child == 0) {
        static std::atomic<int> asked = 0;
        const std::string large(1 << 20, 'x');  // more than a socket takes at once
        const std::string problem = open_statistics_socket(path, [large] {
            if (++asked == 2) {
                throw std::bad_alloc();
            }
            return std::to_string(asked) + large;
        });
        char byte = problem.empty() ? 1 : 0;
        static_cast<void>(write(ready[1], &byte, 1));
        static_cast<void>(read(end[0], &byte, 1));
        const pid_t grandchild = fork();  // it has no such thread to wait for
        if (grandchild == 0) {
            std::exit(0);
        }
        int status = 1;
        waitpid(grandchild, &status, 0);
        const bool still = read_all(path).size() == large.size() + 1;
        std::exit(status == 0 && still ? 0 : 1);
    }
    char byte = 0;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    ASSERT_EQ(byte, 1) << "not opened";
    struct stat facts {};
    ASSERT_EQ(stat(path.c_str(), &facts), 0);
    EXPECT_EQ(facts.st_mode & 0777, 0600u) << "for its user alone";
    const int silent = connected(path);  // reads nothing, and is not waited for without end
    const std::string gone = read_all(path);
    EXPECT_EQ(gone, "") << "the second one was told nothing, for want of memory";
    EXPECT_EQ(read_all(path), "3" + std::string(1 << 20, 'x'));
    close(silent);
    ASSERT_EQ(write(end[1], &byte, 1), 1);
    int status = 1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(statistics_socket_test, says_why_it_cannot_be_opened) {
    const auto text = [] { return std::string(); };
    EXPECT_NE(open_statistics_socket(folder() + "/" + std::string(200, 'x'), text).find("107 bytes at most"),
              std::string::npos);
    EXPECT_NE(open_statistics_socket("/nowhere/socket", text).find("No such file"), std::string::npos);
    EXPECT_NE(open_statistics_socket(folder(), text).find("there already"), std::string::npos);
}

}  // namespace
}  // namespace tmx::test
