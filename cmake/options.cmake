# Build switches of the project, all in one place.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, RelWithDebInfo or Debug" FORCE)
endif()

option(TMX_LLAMA "Build what needs llama.cpp: the ggml backend, the runtime and the command line" ON)
option(TMX_CLI "Build the command line (part of TMX_LLAMA)" ON)
option(TMX_TESTS "Build the tests" ON)
option(TMX_BENCH "Build the benchmarks" ON)
option(TMX_FUZZ "Build the libFuzzer targets (clang only)" OFF)
set(TMX_SANITIZE "" CACHE STRING "Sanitizers for everything we compile: address,undefined or thread")
set(TMX_LLAMA_CPP "" CACHE STRING
    "Your own llama.cpp as SOURCE or SOURCE;BUILD (build folder, default SOURCE/build); empty: the pinned one in .deps")

set(TMX_CUDA AUTO CACHE STRING "Build the CUDA kernels: ON, OFF, or AUTO (if nvcc 12.4 or newer is found)")
set_property(CACHE TMX_CUDA PROPERTY STRINGS AUTO ON OFF)

if(TMX_SANITIZE)
    add_compile_options(-fsanitize=${TMX_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
    add_link_options(-fsanitize=${TMX_SANITIZE})
endif()

# Kernels that this machine cannot run are half of what is compiled of them, and no sanitizer sees them run.
if(TMX_SANITIZE AND CMAKE_HOST_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND EXISTS /proc/cpuinfo)
    file(STRINGS /proc/cpuinfo avx512 REGEX "^flags.* avx512f( |$)" LIMIT_COUNT 1)
    if(NOT avx512)
        add_compile_definitions(TMX_WITHOUT_AVX512)
    endif()
endif()

# What computes for long in tests: optimised a little in a build that otherwise is not, since it compiles in half the time.
set(tmx_hot "")
if(TMX_SANITIZE)
    set(tmx_hot -O1)
endif()

# What runs once and waits for people, or for what it tests, compiles a third faster with little optimisation.
set(tmx_cold "")
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT TMX_SANITIZE)
    set(tmx_cold -O1)
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
    set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
