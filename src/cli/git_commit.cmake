# Writes OUTPUT (a header) with the commit of SOURCE; leaves the file alone when nothing changed, so nothing is rebuilt.
cmake_minimum_required(VERSION 3.25)
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=9 HEAD
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE result)
if(NOT result EQUAL 0)
    set(commit unknown)
else()
    execute_process(COMMAND git -C ${SOURCE} diff-index --quiet HEAD -- RESULT_VARIABLE differs ERROR_QUIET)
    if(NOT differs EQUAL 0)
        string(APPEND commit -dirty)
    endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "#define TMX_SOURCE_COMMIT \"@commit@\"\n" @ONLY)
