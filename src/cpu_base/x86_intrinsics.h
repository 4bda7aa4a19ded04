// <immintrin.h>, whose gcc version trips gcc's own warning. For instructions that Debian 12's Highway does not expose.
#pragma once

#include "hwy/base.h"

HWY_DIAGNOSTICS(push)
#if HWY_COMPILER_GCC_ACTUAL
HWY_DIAGNOSTICS_OFF(disable : 4703, ignored "-Wmaybe-uninitialized")
#endif
#include <immintrin.h>
HWY_DIAGNOSTICS(pop)
