# Writes OUTPUT (a header) with the commit of SOURCE, "-dirty" behind it if sources that git knows differ, as
# tools/commits.py names it. Leaves the file alone when nothing changed, so nothing is rebuilt.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -C ${SOURCE} describe --always --abbrev=9 --exclude=*
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE result)
if(result EQUAL 0)
    execute_process(COMMAND git -C ${SOURCE} diff --quiet HEAD -- . ":(exclude)docs" ":(exclude)*.md"
        ERROR_QUIET RESULT_VARIABLE differ)
    if(NOT differ EQUAL 0)
        string(APPEND commit -dirty)
    endif()
else()
    set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define TMX_SOURCE_COMMIT \"@commit@\"\n" @ONLY)
