// neighbours.h -- how much of the machine other processes took while something was measured. On two cores, one busy
// neighbour makes threads wait for each other at every barrier: a run can take ten times as long, and whichever rival
// it hits loses. No statistic over a handful of repeats mends that, so it is measured and shown.
#pragma once

namespace tmx::bench {

// Sums over any number of begin / end pairs.
class neighbours {
  public:
    void begin();
    void end();

    // CPU time that others used, as a share of all cores' time between the pairs; 0 where /proc/stat cannot be read.
    double share() const;

  private:
    struct reading {
        double wall = 0;
        double all = 0;  // CPU seconds of every process
        double own = 0;  // of this one
    };
    static reading now();

    reading begin_;
    double wall_ = 0;
    double others_ = 0;
};

}  // namespace tmx::bench
