#include "profile/shared_probe.h"

#include "profile/probe_device.h"

namespace tmx {

probe_model & shared_probe::get(stage_clock & clock, std::function<void(double share)> progress) {
    if (probe_ == nullptr) {
        file_ = std::make_unique<model_file>(settings_.model_path);
        probe_options options;
        options.n_threads = settings_.n_threads;
        options.shape = settings_.shape;
        options.stop = settings_.stop;
        probe_device device = open_probe_device(settings_.device, settings_.n_threads);
        if (!device.note.empty()) {
            clock.note(device.note);
        }
        probe_ = std::make_unique<probe_model>(*file_, options, std::move(device.backend), std::move(device.attention));
    }
    probe_->set_progress(std::move(progress));
    return *probe_;
}

}  // namespace tmx
