#include "planner/lone_runs.h"

#include <utility>

namespace tmx {
namespace {

class without_start {
  public:
    explicit without_start(planner_settings & settings)
        : settings_(settings), start_(std::exchange(settings.start, std::nullopt)) {}
    without_start(const without_start &) = delete;
    without_start & operator=(const without_start &) = delete;
    ~without_start() { settings_.start = std::move(start_); }

  private:
    planner_settings & settings_;
    std::optional<start_plan> start_;
};

}  // namespace

// [contexts][questions]: the groups' prompts.
std::vector<std::vector<size_t>> lone_runs::contexts_of(const std::vector<prompt_group> & groups) const {
    std::vector<std::vector<size_t>> contexts;
    for (const size_t prompt : prompts_of(groups)) {
        if (prompts_.specs()[prompt].question == 0) {
            contexts.emplace_back();
        }
        contexts.back().push_back(prompt);
    }
    return contexts;
}

std::vector<std::vector<mix_effect>> lone_runs::run(const std::string & name, const std::vector<prompt_group> & groups,
                                                    const std::vector<lone_job> & jobs) {
    std::vector<mix_job> rows;
    std::vector<size_t> of_row;  // number of the job
    for (const std::vector<size_t> & context : contexts_of(groups)) {
        for (size_t i = 0; i < jobs.size(); ++i) {
            for (const size_t prompt : context) {
                rows.push_back({jobs[i].mix, prompt, jobs[i].what});
                of_row.push_back(i);
            }
        }
    }
    const without_start dense(settings_);
    std::vector<mix_effect> effects = runs_.run(name, rows);
    std::vector<std::vector<mix_effect>> found(jobs.size());
    for (size_t i = 0; i < effects.size(); ++i) {
        found[of_row[i]].push_back(std::move(effects[i]));
    }
    return found;
}

damage damage_of(const std::vector<prompt_group> & groups, const std::vector<mix_effect> & effects) {
    const auto distance = [&](size_t prompt) -> const fidelity & { return effects[prompt].effect.distance; };
    damage d;
    d.measured = true;
    d.first_kl = worst_mean(groups, [&](size_t prompt) { return distance(prompt).first_kl; });
    d.following_kl = worst_mean(groups, [&](size_t prompt) { return distance(prompt).following_kl; });
    d.mean_kl = worst_mean(groups, [&](size_t prompt) { return distance(prompt).mean_kl(); });
    return d;
}

}  // namespace tmx
