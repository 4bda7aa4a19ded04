// The only door to ggml's internal headers. What is taken for granted about them stands in abi_check.cpp.
#pragma once

#include "ggml-backend-impl.h"
#include "ggml-backend.h"
#include "ggml-impl.h"
#include "ggml.h"
