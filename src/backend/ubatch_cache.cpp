#include "backend/ubatch_cache.h"

#include <algorithm>
#include <utility>

#include "backend/runs/find_runs.h"
#include "backend/runs/fingerprint.h"
#include "backend/stopwatch.h"

namespace tmx {
namespace {

uint64_t print_now(ubatch_source & source, const known_ubatch & known) {
    const std::optional<ubatch_view> view = source.look_again(known.inputs);
    return view ? fingerprint(*view, known.found) : 0;
}

}  // namespace

const known_ubatch & ubatch_cache::of(const ubatch_key & key, ubatch_source & source) {
    const auto known = std::find_if(known_.begin(), known_.end(), [&](const std::unique_ptr<known_ubatch> & each) {
        return each->key == key && each->print == print_now(source, *each);
    });
    return known != known_.end() ? **known : *known_.emplace_back(classify(key, source));
}

std::unique_ptr<known_ubatch> ubatch_cache::classify(const ubatch_key & key, ubatch_source & source) const {
    const stopwatch watch;
    auto made = std::make_unique<known_ubatch>();
    made->key = key;
    made->inputs = source.read();
    const ubatch_inputs & inputs = made->inputs;
    if (inputs.missing) {
        made->found = all_masked(key.n_stream, key.n_rows, *inputs.missing);
    } else {
        const auto & [keys, table] = source.cells();
        const int64_t mask_bytes = key.n_stream * key.n_rows * key.n_kv * static_cast<int64_t>(sizeof(uint16_t));
        std::optional<ubatch_runs> sampled;
        if (mask_bytes >= deferred_mask_bytes_ && inputs.view.far == nullptr) {
            sampled = find_runs_sampled(inputs.view, table, keys);
        }
        if (sampled) {
            made->found = std::move(*sampled);
            made->check = std::make_unique<mask_check>(inputs.view, made->found, n_threads_);
        } else {
            made->found = find_runs(inputs.view, table, keys, n_threads_);
        }
    }
    made->found.outputs_hidden = inputs.outputs_hidden;
    made->print = print_now(source, *made);
    statistics_.count_ubatch({&made->found, watch.seconds()});
    return made;
}

bool ubatch_cache::confirm_masks() {
    bool confirmed = true;
    for (const std::unique_ptr<known_ubatch> & each : known_) {
        if (each->check != nullptr && !each->check->passed()) {
            confirmed = false;
        }
    }
    if (!confirmed) {
        deferred_mask_bytes_ = std::numeric_limits<int64_t>::max();
    }
    return confirmed;
}

void ubatch_cache::stop_checks() {
    for (const std::unique_ptr<known_ubatch> & each : known_) {
        each->check.reset();
    }
}

}  // namespace tmx
