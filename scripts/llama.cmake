# What scripts/llama.sh adds to llama.cpp's own build, as its CMAKE_PROJECT_INCLUDE, once all targets are known.
function(tmx_adjust_llama)
    # Half of the build's time is for what no figure depends on: HTTP, chat templates, pictures, command lines, tests. What
    # computes (ggml, libllama) is as everywhere.
    foreach(target IN ITEMS test-backend-ops cpp-httplib mtmd llama-common llama-server-impl server-context)
        if(TARGET ${target})
            target_compile_options(${target} PRIVATE -O1)
        endif()
    endforeach()
    # As in the loadable build, where this is defined for a backend's own files alone: so ccache knows them.
    if(TMX_SHARES_OBJECTS)
        target_compile_options(ggml-cpu PRIVATE -DGGML_BACKEND_SHARED)
    endif()
endfunction()

if(PROJECT_NAME STREQUAL "llama.cpp")
    cmake_language(DEFER CALL tmx_adjust_llama)
endif()
