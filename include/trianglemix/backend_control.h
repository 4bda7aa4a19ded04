// trianglemix/backend_control.h -- run-time control of the loaded ggml backend, through ggml's own door:
//
//     auto set_plan = (tmx_set_plan_t) ggml_backend_reg_get_proc_address(reg, TMX_PROC_SET_PLAN);
//
// where `reg` is ggml_backend_reg_by_name(TMX_BACKEND_NAME). C types only, so any language can call it. A change holds
// from the next evaluation on; call them between llama_decode calls.
// THREADS  Any thread; each call is atomic.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TMX_BACKEND_NAME "TriangleMix"  // registry name, and the CPU device's name

// Also exported: "ggml_backend_set_n_threads" (ggml's own convention).

// Replaces the plan (plan JSON, docs/plan_format.md). Returns NULL, or what was wrong (then the old plan stays); the
// text lives until this thread's next call. json = NULL or "": no plan, everything exact.
#define TMX_PROC_SET_PLAN "trianglemix_set_plan"
typedef const char * (*tmx_set_plan_t)(const char * json);

// Length in tokens of the prompt about to be prefilled, for tail policy "prompt"; < 0: unknown.
#define TMX_PROC_SET_PROMPT_LENGTH "trianglemix_set_prompt_length"
typedef void (*tmx_set_prompt_length_t)(int64_t n_tokens);

// false: claim no node. A context created afterwards is computed by llama.cpp's own code alone.
#define TMX_PROC_SET_ENABLED "trianglemix_set_enabled"
typedef void (*tmx_set_enabled_t)(bool enabled);

// "exact" or "fast"; NULL or "" asks for nothing again, so the plan decides. Returns NULL, or what was wrong.
#define TMX_PROC_SET_PRECISION "trianglemix_set_precision"
typedef const char * (*tmx_set_precision_t)(const char * name);

// Statistics since load or the last reset, as JSON (docs/env.md lists the keys); the text lives until this thread's
// next call.
#define TMX_PROC_STATISTICS "trianglemix_statistics"
typedef const char * (*tmx_statistics_t)(void);
#define TMX_PROC_RESET_STATISTICS "trianglemix_reset_statistics"
typedef void (*tmx_reset_statistics_t)(void);
