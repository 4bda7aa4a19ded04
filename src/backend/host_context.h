// What one llama.cpp context has of us: settings and counters, shared by all its backend instances (the CPU device's
// and one a GPU proxy). It lives as long as one of them.
//
// llama.cpp makes a context's instances on the thread that makes the context, and tells none of them whose it is. So a
// host that wants to address a context says when it makes one: what this thread starts between begin_context() and
// end_context() is that context's. Any other instance stands alone, with a copy of the process's settings that nobody
// changes any more.
//
// THREADS  Any thread; begin and end belong to the thread that calls them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "backend/settings.h"
#include "backend/statistics.h"

namespace tmx {

struct host_context {
    explicit host_context(int64_t number);
    ~host_context();
    host_context(const host_context &) = delete;
    host_context & operator=(const host_context &) = delete;

    const int64_t id;     // > 0, never used again
    settings current;     // starts as the process's
    statistics counters;  // what is counted here is counted for the process, too
};

// Of the backend instance that this thread is making.
std::shared_ptr<host_context> context_of_new_backend();

// Ends the one that this thread had begun, if any.
int64_t begin_context();
int64_t begun_context();  // this thread's; 0: none
// "" or what was wrong: it is not what this thread began, or no instance was made that still lives. It is over anyway.
std::string end_context(int64_t id);

// Null: freed, or never was.
std::shared_ptr<host_context> find_context(int64_t id);
size_t n_contexts();  // alive

}  // namespace tmx
