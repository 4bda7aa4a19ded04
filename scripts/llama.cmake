# What scripts/llama.sh adds to llama.cpp's own build, as its CMAKE_PROJECT_INCLUDE, once all targets are known.

# Compiles a target's sources below a folder ten at a time, as a unity build; its others one by one.
function(tmx_unite target folder)
    if(NOT TARGET ${target})
        return()
    endif()
    get_target_property(sources ${target} SOURCES)
    get_target_property(place ${target} SOURCE_DIR)
    list(FILTER sources INCLUDE REGEX "(^|/)${folder}[^/]*[.]cpp$")
    set(n 0)
    foreach(source IN LISTS sources)
        cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${place})
        math(EXPR group "${n} / 10")
        set_property(SOURCE ${source} TARGET_DIRECTORY ${target} PROPERTY UNITY_GROUP ${folder}${group})
        math(EXPR n "${n} + 1")
    endforeach()
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()

function(tmx_adjust_llama)
    # Half of the build's time is for what no figure depends on: HTTP, chat templates, pictures, command lines, tests. What
    # computes (ggml, libllama) is as everywhere.
    foreach(target IN ITEMS test-backend-ops cpp-httplib mtmd llama-common llama-server-impl server-context)
        if(TARGET ${target})
            target_compile_options(${target} PRIVATE -O1)
        endif()
    endforeach()
    # Dozens of small files that include the same large headers: ten at a time.
    tmx_unite(mtmd models/)
    tmx_unite(llama-common parsers/)
    # As in the loadable build, where this is defined for a backend's own files alone: so ccache knows them.
    if(TMX_SHARES_OBJECTS)
        target_compile_options(ggml-cpu PRIVATE -DGGML_BACKEND_SHARED)
    endif()
endfunction()

if(PROJECT_NAME STREQUAL "llama.cpp")
    cmake_language(DEFER CALL tmx_adjust_llama)
endif()
