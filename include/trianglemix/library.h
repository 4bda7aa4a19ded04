// trianglemix/library.h -- what libtrianglemix-core.so tells a program that has no ggml in it yet: what it is, and
// which plan is meant for a model file. For whoever starts a host; the Python package opens it. C types only, JSON
// texts.
//
// Texts that are returned live until this thread's next call of the same function; null: out of memory.
// THREADS  Any thread.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// {"version", "commit", "cuda": whether CUDA kernels are in it, "kernels": [CPU kernels that run here, best first],
//  "presets": [names of shipped plans]}
const char * trianglemix_library_info(void);

// Which plan is meant, as `trianglemix serve` decides it. `request`: a JSON object with, each of them optional,
//   "model"      a GGUF file; without one, "plan" must name one
//   "plan"       "auto" (the measured preset of this very model, else exact), "exact", "preset:NAME" or a file
//   "json"       a plan's text, instead of "plan"
//   "layers", "dynamic", "tail", "precision"   texts; "sink", "window", "last"   numbers: as the options of that name
// Returns {"plan": the plan's text, "" if attention is exact, "layers": what it does, for people, "source": where it is
// from, "note": "" or what the user ought to know}, or {"error": what was wrong}.
const char * trianglemix_choose_plan(const char * request);

#ifdef __cplusplus
}
#endif
