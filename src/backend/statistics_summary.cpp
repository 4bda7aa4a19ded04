#include "backend/statistics_summary.h"

#include <cstdio>
#include <numeric>

namespace tmx {
namespace {

std::string seconds_text(double seconds) {
    char text[32];
    std::snprintf(text, sizeof(text), "%.3f s", seconds);
    return text;
}

}  // namespace

std::string statistics_summary(const all_counts & sums, const settings & current) {
    std::string text;
    const auto line = [&](const char * format, auto... values) {
        char buffer[512];
        std::snprintf(buffer, sizeof(buffer), format, values...);
        text += "TriangleMix: ";
        text += buffer;
        text += '\n';
    };
    if (!sums.passed_on.empty() || sums.cut_graphs + sums.whole_graphs > 0) {
        line("GPU: %lld graphs cut, %lld whole", static_cast<long long>(sums.cut_graphs),
             static_cast<long long>(sums.whole_graphs));
    }
    for (const auto & [reason, count] : sums.passed_on) {
        line("left to the GPU's own backend (%s): %lld nodes", reason.c_str(), static_cast<long long>(count));
    }
    if (sums.feed_forward.blocks > 0) {
        line("GPU: %lld feed-forward blocks", static_cast<long long>(sums.feed_forward.blocks));
    }
    for (const auto & [reason, count] : sums.feed_forward.passed_on) {
        line("left to the GPU's own backend (%s): %lld feed-forward blocks", reason.c_str(),
             static_cast<long long>(count));
    }
    for (const auto & [kind, done] : sums.products) {
        line("%lld matrix products with %s weights in %s arithmetic in %.3f s, %.0f GFLOP/s",
             static_cast<long long>(done.nodes), name_of(kind.weights),
             kind.arithmetic == product_arithmetic::host ? "the host's" : name_of(kind.arithmetic), done.seconds,
             done.seconds > 0 ? done.flops / done.seconds * 1e-9 : 0.0);
    }
    if (sums.norms.nodes > 0) {
        line("%lld nodes of norms in %.3f s", static_cast<long long>(sums.norms.nodes), sums.norms.seconds);
    }
    if (sums.embeddings.rows > 0) {
        line("looked up %lld token embeddings in %.3f s", static_cast<long long>(sums.embeddings.rows),
             sums.embeddings.seconds);
    }
    const int64_t n_nodes = std::accumulate(sums.nodes.begin(), sums.nodes.end(), int64_t{0});
    const bool hindered = !sums.refusal.empty() || !sums.fallbacks.empty();
    if (n_nodes == 0 && !hindered && sums.products.empty()) {
        line(
            "computed nothing. Only prompts of at least %lld tokens are taken, and only with flash attention on "
            "(-fa on).",
            static_cast<long long>(current.min_rows()));
        return text;
    }
    for (const std::string & way : sums.ways) {
        line("%s", way.c_str());
    }
    if (!sums.refusal.empty()) {
        line("plan refused: %s", sums.refusal.c_str());
    }
    for (const auto & [reason, count] : sums.strict_failures) {
        line("TRIANGLEMIX_STRICT: %lld evaluations failed (%s)", static_cast<long long>(count), reason.c_str());
    }
    if (n_nodes == 0) {
        text += sums.products.empty() ? "TriangleMix: computed nothing\n" : "TriangleMix: computed no attention\n";
    } else {
        const auto of_kind = [&](node_kind kind) { return std::to_string(sums.nodes[static_cast<size_t>(kind)]); };
        const std::string dynamic =
            of_kind(node_kind::dynamic) != "0" ? ", " + of_kind(node_kind::dynamic) + " dynamic" : "";
        line("%lld attention nodes in %.3f s: %s triangle%s, %s dense, %s masked", static_cast<long long>(n_nodes),
             sums.seconds, of_kind(node_kind::triangle).c_str(), dynamic.c_str(), of_kind(node_kind::dense).c_str(),
             of_kind(node_kind::masked).c_str());
        const double all = sums.pairs.kept + sums.pairs.skipped + sums.pairs.masked;
        line("pairs kept %.4g, skipped %.4g (%.1f%% of all), through a mask %.4g", sums.pairs.kept, sums.pairs.skipped,
             all > 0 ? 100.0 * sums.pairs.skipped / all : 0.0, sums.pairs.masked);
        for (const auto & [rule, counts] : sums.selections()) {
            const bool timed = counts.timed_nodes == counts.nodes;
            const std::string took = timed ? ", selected in " + seconds_text(counts.seconds) : "";
            line("selected by %s: %lld nodes, %.1f%% of their pairs kept%s", rule.c_str(),
                 static_cast<long long>(counts.nodes), counts.causal > 0 ? 100 * counts.kept / counts.causal : 100.0,
                 took.c_str());
        }
        line("%lld ubatches, %lld with several runs, %lld with masked rows; classified in %.3f s",
             static_cast<long long>(sums.ubatches), static_cast<long long>(sums.mixed_ubatches),
             static_cast<long long>(sums.masked_ubatches), sums.classify_seconds);
    }
    for (const auto & [reason, count] : sums.fallbacks) {
        line("fallback %s: %lld", reason.c_str(), static_cast<long long>(count));
    }
    return text;
}

}  // namespace tmx
