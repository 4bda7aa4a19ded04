# Writes OUTPUT (a header) with the commit of SOURCE as tools/commits.py names it: what TMX_COMMIT in the environment says,
# or git's with "-dirty" behind it if sources that git knows differ. Leaves the file alone when nothing changed, so
# nothing is rebuilt.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -C ${SOURCE} describe --always --abbrev=9 --exclude=*
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE result)
if(NOT "$ENV{TMX_COMMIT}" STREQUAL "")
    set(commit "$ENV{TMX_COMMIT}")
elseif(result EQUAL 0)
    execute_process(COMMAND git -C ${SOURCE} diff --quiet HEAD -- . ":(exclude)docs" ":(exclude)*.md"
        ERROR_QUIET RESULT_VARIABLE differ)
    if(NOT differ EQUAL 0)
        string(APPEND commit -dirty)
    endif()
else()
    set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define TMX_SOURCE_COMMIT \"@commit@\"\n" @ONLY)
