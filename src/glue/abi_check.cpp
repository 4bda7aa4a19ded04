// What is taken for granted of the headers that this is compiled with. Tables are filled by position, and grow without
// a new API version. If one of these fails, read the new header, fill the table in accel_device.cpp, registry.cpp or
// proxy/ anew, and give the layout a part (src/loader/ggml_version.h). What the running ggml is like is another
// question (layout_probe.h).
#include "glue/abi.h"

static_assert(GGML_BACKEND_API_VERSION == 2 || GGML_BACKEND_API_VERSION == 3);
static_assert(sizeof(ggml_backend_i) == 16 * sizeof(void *));
static_assert(sizeof(ggml_backend_device_i) == 15 * sizeof(void *));
static_assert(sizeof(ggml_backend_reg_i) == 4 * sizeof(void *));
static_assert(sizeof(ggml_backend_buffer_type_i) == (GGML_BACKEND_API_VERSION == 2 ? 6 : 8) * sizeof(void *));
