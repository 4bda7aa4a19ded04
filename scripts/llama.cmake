# What scripts/llama.sh adds to llama.cpp's own build, as its CMAKE_PROJECT_INCLUDE, once all targets are known.
function(tmx_adjust_llama)
    # One file, for which gcc needs a minute with -O3 and half of one with -O1. What it tests is in other libraries.
    if(TARGET test-backend-ops)
        target_compile_options(test-backend-ops PRIVATE -O1)
    endif()
    # As in the loadable build, where this is defined for a backend's own files alone: so ccache knows them.
    if(TMX_SHARES_OBJECTS)
        target_compile_options(ggml-cpu PRIVATE -DGGML_BACKEND_SHARED)
    endif()
endfunction()

if(PROJECT_NAME STREQUAL "llama.cpp")
    cmake_language(DEFER CALL tmx_adjust_llama)
endif()
