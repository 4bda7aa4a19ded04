// The page of `serve --metrics`: what is read from a server's log, what is said of it, and to whom.
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/metrics/listen_address.h"
#include "cli/metrics/metrics_server.h"
#include "cli/metrics/metrics_text.h"
#include "cli/metrics/output_relay.h"
#include "cli/metrics/prompt_times.h"
#include "cli/metrics/statistics_reader.h"
#include "cli/temporary_file.h"
#include "runtime/failure.h"

namespace tmx::test {
namespace {

TEST(listen_address_test, as_users_type_it) {
    EXPECT_EQ(parse_listen_address("9464").text(), "127.0.0.1:9464");
    EXPECT_EQ(parse_listen_address(":9464").text(), "127.0.0.1:9464");
    EXPECT_EQ(parse_listen_address("0.0.0.0:80").text(), "0.0.0.0:80");
    EXPECT_EQ(parse_listen_address("[::1]:0").text(), "[::1]:0");
    EXPECT_TRUE(parse_listen_address("1").loopback());
    EXPECT_TRUE(parse_listen_address("[::1]:1").loopback());
    EXPECT_TRUE(parse_listen_address("localhost:1").loopback());
    EXPECT_FALSE(parse_listen_address("0.0.0.0:1").loopback());
    EXPECT_FALSE(parse_listen_address("[::]:1").loopback());
    for (const char * bad : {"", "host", "host:", "1:2:3", "::1", "[]:1", "[1]:1", "host:-1", "host:65536", "host:1x",
                             "http://host:1", "a b:1", "99999999999999999999"}) {
        EXPECT_THROW(parse_listen_address(bad), failure) << bad;
    }
}

TEST(prompt_times_test, lines_of_a_servers_log) {
    // As ggml 0.13.1's server, and the newest, with colours, write it.
    const std::string newest =
        "\x1b[34m0.05.123.456\x1b[0m \x1b[32mI \x1b[0mslot print_timings: id  3 | task 17 | prompt eval time =     "
        "312.50 ms /   250 tokens (    1.25 ms per token,   800.00 tokens per second)";
    const std::string oldest = "prompt eval time =      98.04 ms /     7 tokens (   14.01 ms per token,    71.40 ...";
    ASSERT_TRUE(prompt_time_in(newest));
    EXPECT_EQ(prompt_time_in(newest)->n_tokens, 250);
    EXPECT_DOUBLE_EQ(prompt_time_in(newest)->seconds, 0.3125);
    ASSERT_TRUE(prompt_time_in(oldest));
    EXPECT_EQ(prompt_time_in(oldest)->n_tokens, 7);
    for (const char * other :
         {"", "slot print_timings: id  0 | task 1 |        eval time =      50.00 ms /     2 tokens (",
          "llama_perf_context_print: prompt eval time =     312.50 ms /   250 tokens (    1.25 ms per token",
          "prompt eval time =", "prompt eval time =  x ms / 1 tokens", "prompt eval time = 1 ms",
          "prompt eval time = 1 ms / ", "prompt eval time = -1 ms / 1 tokens", "prompt eval time = 1 ms / 1.5 tokens",
          "prompt eval time = nan ms / 1 tokens"}) {
        EXPECT_FALSE(prompt_time_in(other)) << other;
    }
}

TEST(metrics_text_test, a_histogram_counts_up) {
    prompt_times times;
    for (const double seconds : {0.01, 0.25, 0.26, 1000.0}) {
        times.count({.n_tokens = 100, .seconds = seconds});
    }
    const std::string text = metrics_text(times.read(), {});
    for (const char * line :
         {"# TYPE trianglemix_time_to_first_token_seconds histogram\n",
          "trianglemix_time_to_first_token_seconds_bucket{le=\"0.025\"} 1\n",
          "trianglemix_time_to_first_token_seconds_bucket{le=\"0.25\"} 2\n",
          "trianglemix_time_to_first_token_seconds_bucket{le=\"0.5\"} 3\n",
          "trianglemix_time_to_first_token_seconds_bucket{le=\"320\"} 3\n",
          "trianglemix_time_to_first_token_seconds_bucket{le=\"+Inf\"} 4\n",
          "trianglemix_time_to_first_token_seconds_sum 1000.52\n", "trianglemix_time_to_first_token_seconds_count 4\n",
          "trianglemix_prompt_tokens_total 400\n"}) {
        EXPECT_NE(text.find(line), std::string::npos) << line << text;
    }
}

TEST(metrics_text_test, what_processes_say) {
    const auto statistics = nlohmann::json::parse(R"({
        "version": "1.2", "ggml_version": "0.25.3", "kernel": "avx2", "precision": "exact", "plan": "a \"b\"\\\n", "seconds": 1.5,
        "nodes": {"triangle": 4, "dense": 6}, "fallbacks": {"cell_order": 2},
        "kind_pairs": {"triangle": {"kept": 10, "skipped": 90, "masked": 0}, "masked": {"kept": 1, "skipped": 0, "masked": 7}},
        "products": {"computed": [{"seconds": 0.5}, {"seconds": 0.25}]}})");
    const std::string text = metrics_text({}, {{"12", statistics}, {"7", nlohmann::json::object()}});
    for (const char * line : {"trianglemix_info{pid=\"12\",version=\"1.2\",ggml_version=\"0.25.3\",kernel=\"avx2\","
                              "precision=\"exact\",plan=\"a "
                              "\\\"b\\\"\\\\\\n\"} 1\n",
                              "trianglemix_attention_pairs_total{pid=\"12\",kind=\"triangle\",state=\"computed\"} 10\n",
                              "trianglemix_attention_pairs_total{pid=\"12\",kind=\"triangle\",state=\"skipped\"} 90\n",
                              "trianglemix_attention_pairs_total{pid=\"12\",kind=\"masked\",state=\"computed\"} 8\n",
                              "trianglemix_attention_nodes_total{pid=\"12\",kind=\"dense\"} 6\n",
                              "trianglemix_fallbacks_total{pid=\"12\",reason=\"cell_order\"} 2\n",
                              "trianglemix_attention_seconds_total{pid=\"12\"} 1.5\n",
                              "trianglemix_product_seconds_total{pid=\"12\"} 0.75\n",
                              "trianglemix_attention_seconds_total{pid=\"7\"} 0\n"}) {
        EXPECT_NE(text.find(line), std::string::npos) << line << text;
    }
    // One family, one TYPE line, and all of its values below it.
    std::vector<std::string> seen;
    for (size_t at = text.find("# TYPE "); at != std::string::npos; at = text.find("# TYPE ", at + 1)) {
        seen.push_back(text.substr(at + 7, text.find(' ', at + 7) - at - 7));
    }
    EXPECT_EQ(seen.size(), 9u) << text;
}

TEST(output_relay_test, passes_on_and_looks_at_lines) {
    int out[2];
    ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
    std::vector<std::string> lines;
    int writer = -1;
    {
        output_relay relay(out[1], [&](std::string_view line) { lines.emplace_back(line); });
        writer = dup(relay.other_end());  // the other process's; it stays open, as a server's child may leave it
        relay.start();
        const std::string text = "one\ntwo\n" + std::string(9000, 'x') + "\nno end";
        ASSERT_EQ(write(writer, text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }
    close(out[1]);
    std::string passed;
    char buffer[4096];
    for (ssize_t n = 0; (n = read(out[0], buffer, sizeof(buffer))) > 0;) {
        passed.append(buffer, static_cast<size_t>(n));
    }
    EXPECT_EQ(passed, "one\ntwo\n" + std::string(9000, 'x') + "\nno end");
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", std::string(4096, 'x')}));
    close(out[0]);
    close(writer);
}

// What a port of this machine answers to `request`.
std::string asked(int port, const std::string & request) {
    const int connection = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    std::string text;
    if (connect(connection, reinterpret_cast<const sockaddr *>(&address), sizeof(address)) == 0 &&
        send(connection, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
        char buffer[4096];
        for (ssize_t n = 0; (n = read(connection, buffer, sizeof(buffer))) > 0;) {
            text.append(buffer, static_cast<size_t>(n));
        }
    }
    close(connection);
    return text;
}

TEST(metrics_server_test, answers_one_page_and_nothing_else) {
    const std::string end = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    int port = 0;
    {
        metrics_server server(parse_listen_address("0"), [] { return std::string("page 1\n"); });
        server.start();
        port = server.at().port;
        const std::string page = asked(port, "GET /metrics" + end);
        EXPECT_TRUE(page.starts_with("HTTP/1.1 200")) << page;
        EXPECT_NE(page.find("Content-Type: text/plain; version=0.0.4"), std::string::npos) << page;
        EXPECT_TRUE(page.ends_with("\r\n\r\npage 1\n")) << page;
        for (const char * other : {"GET /", "POST /metrics", "DELETE /metrics", "GET /metrics/../../etc/passwd"}) {
            EXPECT_TRUE(asked(port, other + end).starts_with("HTTP/1.1 4")) << other;
        }
        EXPECT_THROW(metrics_server(parse_listen_address(std::to_string(port)), [] { return std::string(); }), failure)
            << "the port is taken";
    }
    EXPECT_EQ(asked(port, "GET /metrics" + end), "") << "nobody listens any more";
    EXPECT_THROW(metrics_server(parse_listen_address("192.0.2.1:9464"), [] { return std::string(); }), failure)
        << "an address of another machine";
}

TEST(statistics_reader_test, a_socket_that_nobody_answers_is_passed_over) {
    const temporary_folder folder("tmx-reader");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = folder.path() + "/12.sock";
    std::memcpy(address.sun_path, path.data(), path.size());
    const int left = socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(bind(left, reinterpret_cast<const sockaddr *>(&address), sizeof(address)), 0);
    close(left);  // its process has gone, and the file is left
    EXPECT_TRUE(read_all_statistics(folder.path()).empty());
    EXPECT_TRUE(read_all_statistics("/nowhere").empty());
    EXPECT_FALSE(read_statistics(std::string(300, 'x')));
}

}  // namespace
}  // namespace tmx::test
