# What scripts/llama.sh adds to llama.cpp's own build, as its CMAKE_PROJECT_INCLUDE, once all targets are known.

# Compiles a target's sources below a folder (those beside its CMakeLists.txt: "") a number at a time, as a unity build; its
# others, and those named behind, which define what their neighbours do, one by one.
function(tmx_unite target folder size)
    if(NOT TARGET ${target})
        return()
    endif()
    get_target_property(sources ${target} SOURCES)
    get_target_property(place ${target} SOURCE_DIR)
    set(n 0)
    foreach(source IN LISTS sources)
        cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${place})
        cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${place} OUTPUT_VARIABLE name)
        if(name MATCHES "^${folder}[^/]*[.]cpp$" AND NOT name IN_LIST ARGN)
            math(EXPR group "${n} / ${size}")
            set_source_files_properties(${source} TARGET_DIRECTORY ${target} PROPERTIES
                UNITY_GROUP "${folder}${group}" SKIP_UNITY_BUILD_INCLUSION OFF)
            math(EXPR n "${n} + 1")
        endif()
    endforeach()
    set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
endfunction()

function(tmx_adjust_llama)
    # Half of the build's time is for what no figure depends on: HTTP, chat templates, pictures, command lines, tests. What
    # computes (ggml, libllama) is as everywhere.
    foreach(target IN ITEMS test-backend-ops cpp-httplib mtmd llama-common llama-server-impl server-context llama-bench-impl
            ggml-rpc-server)
        if(TARGET ${target})
            target_compile_options(${target} PRIVATE -O1)
        endif()
    endforeach()
    # Dozens of small files that include the same large headers: ten at a time.
    tmx_unite(mtmd models/ 10)
    tmx_unite(llama-common parsers/ 10)
    if(TMX_UNITE_MORE)
        tmx_unite(llama-common "" 10 json.cpp)
        tmx_unite(llama-common jinja/ 10 jinja/value.cpp)
        tmx_unite(server-context "" 5)
        tmx_unite(llama-server-impl "" 3)
        tmx_unite(llama models/ 16)  # as without us
        tmx_unite(llama "" 8 llama-kv-cache-dsv4.cpp)
    endif()
    # As in the loadable build, where this is defined for a backend's own files alone: so ccache knows them.
    if(TMX_SHARES_OBJECTS)
        target_compile_options(ggml-cpu PRIVATE -DGGML_BACKEND_SHARED)
    endif()
endfunction()

if(PROJECT_NAME STREQUAL "llama.cpp")
    cmake_language(DEFER CALL tmx_adjust_llama)
endif()
