#include "measure/stage_clock.h"

#include "runtime/arm.h"

namespace tmx {

stage_clock::stage_clock(std::string stage, double total_weight, const progress_sink & sink)
    : stage_(std::move(stage)), total_(total_weight), sink_(sink), start_(seconds_now()), lap_start_(start_) {}

double stage_clock::weight_of(int64_t n_tokens) {
    const auto n = static_cast<double>(n_tokens);
    return n * (1 + n / 4096);
}

void stage_clock::begin(const std::string & item, double weight) {
    item_ = item;
    item_weight_ = weight;
    show(0, false);
}

void stage_clock::within(double share) {
    show(share, false);
}

void stage_clock::end(const std::string & outcome) {
    done_ += item_weight_;
    item_weight_ = 0;
    item_ = outcome;
    show(0, true);
}

void stage_clock::note(const std::string & text) {
    item_ = text;
    show(0, true);
}

double stage_clock::lap() {
    const double before = lap_start_;
    lap_start_ = seconds_now();
    return lap_start_ - before;
}

void stage_clock::show(double share_of_item, bool ended) {
    if (!sink_) {
        return;
    }
    const double done = done_ + share_of_item * item_weight_;
    run_progress progress;
    progress.stage = stage_;
    progress.item = item_;
    progress.share = total_ > 0 ? done / total_ : 1;
    progress.item_ended = ended;
    progress.weight_done = done;
    progress.weight_left = total_ - done;
    progress.seconds = seconds_now() - start_;
    sink_(progress);
}

}  // namespace tmx
