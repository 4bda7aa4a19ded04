#include "probe/shared_probe.h"

#include <utility>

#include "probe/probe_device.h"

namespace tmx {

shared_probe::shared_probe(std::string model_path, std::string device, probe_options options)
    : model_path_(std::move(model_path)), device_(std::move(device)), options_(std::move(options)) {}

probe_model & shared_probe::get(const std::function<void(const std::string & note)> & told,
                                std::function<void(double share)> progress) {
    if (probe_ == nullptr) {
        file_ = std::make_unique<model_file>(model_path_);
        probe_device device = open_probe_device(device_, options_.n_threads);
        if (!device.note.empty()) {
            told(device.note);
        }
        probe_ =
            std::make_unique<probe_model>(*file_, options_, std::move(device.backend), std::move(device.attention));
    }
    probe_->set_progress(std::move(progress));
    return *probe_;
}

}  // namespace tmx
