// profile/page/svg_axis.h -- one axis of a drawing: values to pixels, and where its ticks are.
#pragma once

#include <vector>

namespace tmx {

struct axis_settings {
    bool log = false;
    bool whole = false;  // ticks at whole numbers only
    double pixel_low = 0;
    double pixel_high = 1;
};

class svg_axis {
  public:
    // REQUIRES low <= high, finite; positive where logarithmic.
    svg_axis(double low, double high, const axis_settings & settings);

    double pixel(double value) const;  // where logarithmic, 0 and less lie at the axis's foot
    const std::vector<double> & ticks() const { return ticks_; }

  private:
    axis_settings settings_;
    double low_ = 0, high_ = 1;  // of the exponent where logarithmic
    std::vector<double> ticks_;

    void place_decades();
    void place_steps(double low, double high);
};

}  // namespace tmx
