#include "cli/commands/bench_sweep.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

#include "cli/build_info.h"
#include "cli/input_file.h"
#include "cli/machine.h"
#include "cli/prefill_progress.h"
#include "cli/stock_setting.h"
#include "cli/terminal.h"
#include "measure/hash.h"
#include "runtime/statistics.h"

namespace tmx {
namespace {

std::vector<token_id> prompt_of_length(const model & m, const std::vector<token_id> & document, int64_t n_tokens) {
    // The model's BOS, if it wants one, then the document over and over.
    std::vector<token_id> ids = m.tokenise_prompt("", true).ids;
    for (size_t i = 0; static_cast<int64_t>(ids.size()) < n_tokens; ++i) {
        ids.push_back(document[i % document.size()]);
    }
    ids.resize(static_cast<size_t>(n_tokens));
    return ids;
}

arm arm_of_mode(const std::string & mode, const prompt_setup & prompt, chosen_plan chosen,
                const stock_setting & stock) {
    arm a;
    if (mode == "stock") {
        a = stock_arm(prompt, stock);
    } else if (mode.starts_with("exact")) {
        a = exact_arm(prompt);
        a.precision = mode == "exact" ? "exact" : "fast";
    } else {
        // The mode's name decides the precision, whatever the plan says.
        chosen.value.arithmetic = mode == "plan" ? precision::exact : precision::fast;
        a = planned_arm(prompt, chosen);
    }
    a.name = mode;
    return a;
}

// All that can change a time: rows that agree in it need not be measured again.
bench_row identity_of(const bench_options & options, const chosen_plan & chosen, const std::string & document) {
    const bool planned = std::any_of(options.modes.begin(), options.modes.end(),
                                     [](const std::string & mode) { return mode.starts_with("plan"); });
    bench_row j;
    // A commit does not tell builds of changed sources apart; the files do.
    j["build_sha256"] =
        sha256_of_text(sha256_of_file("/proc/self/exe") + sha256_of_file(default_backend_paths().library));
    j["commit"] = source_commit();
    j["ggml"] = ggml_version_text();
    j["cpu"] = cpu_name();
    j["n_cores"] = hardware_threads();
    j["n_threads"] = threads_of(options);
    j["device"] = describe_device(options.model.device);
    j["model_sha256"] = sha256_of_file(options.model.file());
    j["document_sha256"] = sha256_of_text(document);
    j["plan_sha256"] = planned ? bench_row(sha256_of_text(write_plan(chosen.value))) : bench_row();
    j["ubatch"] = options.model.n_ubatch;
    j["stock"] = options.stock;
    j["n_decode"] = options.n_decode;
    return j;
}

}  // namespace

int32_t threads_of(const bench_options & options) {
    return options.model.threads > 0 ? options.model.threads : hardware_threads();
}

int32_t context_for(int64_t length, const bench_options & options) {
    return context_for(length + options.n_decode + 1);
}

sweep::sweep(const bench_options & options, backend & b, arm_models & models, const chosen_plan & chosen,
             const invocation & call)
    : options_(options), backend_(b), models_(models), chosen_(chosen), call_(call) {
    const text_document read = read_document(options.document);
    if (!read.note.empty()) {
        tell("note: " + read.note);
    }
    document_ = models.text().tokenise(read.text);
    if (!options.out.empty()) {
        identity_ = identity_of(options, chosen, read.text);
    }
}

void sweep::run() {
    reuse_rows();
    for (const int64_t length : options_.lengths) {
        if (whole_.count(length) == 0) {
            measure(length);
        }
    }
}

std::vector<bench_row> sweep::rows() const {
    std::vector<bench_row> all;
    for (const auto & [length, rows] : whole_) {
        all.insert(all.end(), rows.begin(), rows.end());
    }
    const std::vector<bench_row> cells = rows_of_cells();
    all.insert(all.end(), cells.begin(), cells.end());
    return all;
}

void sweep::reuse_rows() {
    if (options_.out.empty() || options_.restart) {
        return;
    }
    const std::vector<bench_row> file = read_rows(options_.out);
    size_t n_rows = 0;
    for (const int64_t length : options_.lengths) {
        if (auto found = find_rows(file, identity_, length, options_.modes, options_.n_repeat)) {
            n_rows += found->size();
            whole_[length] = std::move(*found);
        }
    }
    if (n_rows > 0) {
        fmt::print(stderr,
                   "{} rows for {} of {} lengths are in {} already, from this build, model, settings and machine; "
                   "--restart measures them again\n",
                   n_rows, whole_.size(), options_.lengths.size(), options_.out);
    }
}

void sweep::measure(int64_t length) {
    prompt_setup prompt;
    prompt.ids = prompt_of_length(models_.text(), document_, length);
    prompt.context.n_ctx = context_for(length, options_);
    prompt.context.n_ubatch = options_.model.n_ubatch;
    prompt.context.n_threads = options_.model.threads;
    prompt.context.stop = &call_.stop;
    length_ = length;
    cells_.clear();
    stock_setting stock;
    bench_row tried;
    if (std::find(options_.modes.begin(), options_.modes.end(), "stock") != options_.modes.end()) {
        if (const auto given = parse_stock_setting(options_.stock)) {
            stock = *given;
        } else {
            const stock_search search = find_fastest_stock(backend_, models_, prompt);
            stock = search.winner();
            tried = search.json();
        }
    }
    for (int64_t repetition = 0; repetition < options_.n_repeat; ++repetition) {
        for (size_t i = 0; i < options_.modes.size(); ++i) {
            const arm a = arm_of_mode(options_.modes[i], prompt, chosen_, stock);
            if (repetition == 0) {
                cells_.push_back({a.name,
                                  show_setting({a.context.flash_attention, a.context.n_ubatch}),
                                  models_.device_of(a),
                                  {},
                                  {},
                                  1,
                                  a.ours ? bench_row() : tried});
            }
            time_once(a, prompt, repetition, cells_[i]);
        }
    }
    whole_[length] = rows_of_cells();
    cells_.clear();
    if (!options_.out.empty()) {
        append_rows(options_.out, whole_[length]);
    }
}

void sweep::time_once(const arm & a, const prompt_setup & prompt, int64_t repetition, bench_cell & cell) {
    const std::unique_ptr<session> s = open_arm(backend_, models_.of(a), a);
    timed_prefill prefilled;
    {
        prefill_progress progress(
            fmt::format("{} tokens, {} {}/{}", length_, a.name, repetition + 1, options_.n_repeat), length_);
        prefilled = prefill_arm(backend_, a, *s, prompt.ids, [&](int64_t n) { progress.done(n); });
    }
    if (options_.n_decode > 0) {
        const double start = seconds_now();
        token_id next = prefilled.first;
        for (int64_t i = 0; i < options_.n_decode; ++i) {
            s->decode(next);
            next = argmax(s->last_logits());
        }
        cell.decode_rate.push_back(static_cast<double>(options_.n_decode) / (seconds_now() - start));
    }
    cell.ttft.push_back(prefilled.seconds);
    if (a.ours) {
        cell.kept_share = parse_statistics(backend_.statistics(s->backend_context())).kept_share();
    }
}

std::vector<bench_row> sweep::rows_of_cells() const {
    bench_row who;
    who["command"] = call_.command_line;
    who["version"] = program_version();
    who["commit"] = source_commit();
    who["ggml"] = ggml_version_text();
    who["cpu"] = cpu_name();
    who["n_cores"] = hardware_threads();
    who["n_threads"] = threads_of(options_);
    who["date"] = utc_time();
    who["model"] = show_file(models_.facts().path);
    who["plan"] = chosen_.source;
    who["identity"] = identity_;
    const bench_cell * stock = nullptr;
    for (const bench_cell & cell : cells_) {
        stock = cell.mode == "stock" ? &cell : stock;
    }
    std::vector<bench_row> rows;
    for (const bench_cell & cell : cells_) {
        if (!cell.ttft.empty()) {
            rows.push_back(make_row(who, length_, cell, stock));
        }
    }
    return rows;
}

}  // namespace tmx
