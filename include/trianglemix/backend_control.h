// trianglemix/backend_control.h -- run-time control of the loaded ggml backend, through ggml's own door:
//
//     auto set_plan = (tmx_set_plan_t) ggml_backend_reg_get_proc_address(reg, TMX_PROC_SET_PLAN);
//
// where `reg` is ggml_backend_reg_by_name(TMX_BACKEND_NAME). C types only, so any language can call it.
//
// Settings belong to a llama.cpp context. The process has a set, too: a context starts with a copy of it, and keeps
// that whatever becomes of the process's. Who makes several contexts, or changes one's settings, announces each:
//
//     int64_t context = begin();
//     llama_context * ctx = llama_init_from_model(model, params);   // on the same thread
//     const char * problem = end(context);                          // NULL, or why `context` stands for nothing
//     ...
//     set_prompt_length(context, n_prompt);
//     llama_decode(ctx, batch);
//
// llama.cpp starts the backends of a context on the thread that makes it, and tells no backend whose it is; hence the
// pair. All that this thread starts between the two shares the one set. Tries that the host (or llama.cpp, to fit a
// model into memory) makes and frees in between do no harm.
//
// A change holds from the context's next evaluation on; make it between llama_decode calls.
// THREADS  Any thread; each call is atomic. Begin and end belong to the thread that calls them.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TMX_BACKEND_NAME "TriangleMix"  // registry name, and the CPU device's name

// Also exported: "ggml_backend_set_n_threads" (ggml's own convention).

// Least rows of an attention node that the backend takes, where TRIANGLEMIX_MIN_ROWS sets no other bound: decoding and
// short rests of prompts stay llama.cpp's own. A host that wants a piece of a prompt treated as the plan says feeds at
// least that many tokens in one ubatch. Whatever needs the number has it from here; scripts ask hostkit/settings.py.
#define TMX_DEFAULT_MIN_ROWS 64

// ---- the process: what contexts made from now on start with

// Replaces the plan (plan JSON, docs/plan_format.md). Returns NULL, or what was wrong (then the old plan stays); the
// text lives until this thread's next call. json = NULL or "": no plan, everything exact.
#define TMX_PROC_SET_PLAN "trianglemix_set_plan"
typedef const char * (*tmx_set_plan_t)(const char * json);

// Length in tokens of the prompt about to be prefilled, for tail policy "prompt"; < 0: unknown.
#define TMX_PROC_SET_PROMPT_LENGTH "trianglemix_set_prompt_length"
typedef void (*tmx_set_prompt_length_t)(int64_t n_tokens);

// false: claim no node. A context created afterwards is computed by llama.cpp's own code alone. Call it while no other
// context computes: on the CPU, which device takes a node is asked whenever llama.cpp builds a graph.
#define TMX_PROC_SET_ENABLED "trianglemix_set_enabled"
typedef void (*tmx_set_enabled_t)(bool enabled);

// "exact" or "fast"; NULL or "" asks for nothing again, so the plan decides. Returns NULL, or what was wrong.
#define TMX_PROC_SET_PRECISION "trianglemix_set_precision"
typedef const char * (*tmx_set_precision_t)(const char * name);

// Statistics of all contexts since load or the last reset, as JSON (docs/env.md lists the keys); the text lives until
// this thread's next call.
#define TMX_PROC_STATISTICS "trianglemix_statistics"
typedef const char * (*tmx_statistics_t)(void);
#define TMX_PROC_RESET_STATISTICS "trianglemix_reset_statistics"
typedef void (*tmx_reset_statistics_t)(void);

// ---- one context

// A number that stands for the context that this thread makes next, > 0 and never used twice; 0: out of memory. It may
// be used at once. One that was begun on this thread and not ended is ended.
#define TMX_PROC_CONTEXT_BEGIN "trianglemix_context_begin"
typedef int64_t (*tmx_context_begin_t)(void);

// The context is made. Returns NULL, or what was wrong: this thread did not begin it, or made no context since (making
// it failed, or the backend has no device here); then the number stands for nothing. Always call it.
#define TMX_PROC_CONTEXT_END "trianglemix_context_end"
typedef const char * (*tmx_context_end_t)(int64_t context);

// As for the process, above. Return NULL, or what was wrong, which includes that the context is freed.
#define TMX_PROC_CONTEXT_SET_PLAN "trianglemix_context_set_plan"
typedef const char * (*tmx_context_set_plan_t)(int64_t context, const char * json);
#define TMX_PROC_CONTEXT_SET_PROMPT_LENGTH "trianglemix_context_set_prompt_length"
typedef const char * (*tmx_context_set_prompt_length_t)(int64_t context, int64_t n_tokens);
#define TMX_PROC_CONTEXT_SET_PRECISION "trianglemix_context_set_precision"
typedef const char * (*tmx_context_set_precision_t)(int64_t context, const char * name);

// The same keys as the process's, of this context alone but for what was declined, which only the process counts.
// NULL: there is no such context, or no more.
#define TMX_PROC_CONTEXT_STATISTICS "trianglemix_context_statistics"
typedef const char * (*tmx_context_statistics_t)(int64_t context);
#define TMX_PROC_CONTEXT_RESET_STATISTICS "trianglemix_context_reset_statistics"
typedef const char * (*tmx_context_reset_statistics_t)(int64_t context);
