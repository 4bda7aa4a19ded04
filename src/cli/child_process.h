// cli/child_process.h -- starting other programs.
#pragma once

#include <string>
#include <vector>

namespace tmx {

struct child_result {
    int exit_code = -1;  // 128 + signal if one ended it; -1 if it could not be started
    std::string output;  // stdout and stderr
};

// What exec takes: a pointer to each argument, then null. Valid as long as `arguments` is unchanged.
std::vector<char *> argument_vector(const std::vector<std::string> & arguments);

// Runs a program to its end with `input` on its stdin. No shell.
child_result run_child(const std::vector<std::string> & arguments, const std::string & input = {});

std::string find_program(const std::string & name);  // on PATH, or as it is if it has a slash; "" if not executable
int exit_code_of(int wait_status);                   // as a shell reports it

}  // namespace tmx
