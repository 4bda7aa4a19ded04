# Writes build_facts.h: the commit this build was made from, and whether files differ from it. Run at every build, so that
# no result names a stale commit. Needs SOURCE, OUTPUT, COMPILER, FLAGS.
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
execute_process(COMMAND git -C ${SOURCE} status --porcelain --untracked-files=no
                OUTPUT_VARIABLE changes OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT commit)
    set(commit unknown)
endif()
if(changes)
    set(dirty true)
else()
    set(dirty false)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} @ONLY CONTENT [[
#pragma once
namespace tmx::bench {
inline constexpr const char * k_commit = "@commit@";
inline constexpr bool k_dirty = @dirty@;
inline constexpr const char * k_compiler = "@COMPILER@";
inline constexpr const char * k_flags = "@FLAGS@";
}  // namespace tmx::bench
]])
