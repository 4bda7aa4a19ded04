// The host: the program that loaded this library, and its ggml, seen without any header of it.
#pragma once

#include <string>

namespace tmx {

class host {
  public:
    // `caller`: an address in the host's library that called. Its ggml is the one that this library belongs to, of
    // several that a process may have.
    explicit host(const void * caller);
    ~host();
    host(const host &) = delete;
    host & operator=(const host &) = delete;

    // ggml_version(); empty where the host has no such function to be found: its ggml is linked in.
    std::string ggml_version() const;
    // To ggml's log where it can be found, else to stderr.
    void log_error(const std::string & line) const;

  private:
    void * symbol(const char * name) const;

    void * handle_ = nullptr;
};

}  // namespace tmx
