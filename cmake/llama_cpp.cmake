# Finds llama.cpp (source and build folder), checks its version, and defines
#   tmx::ggml           public ggml headers and libraries
#   tmx::ggml_internal  ... plus ggml's internal headers; for src/glue only
#   tmx::llama          llama.h and libllama; for src/runtime only
#   TMX_LLAMA_BIN       folder with llama-server, llama-bench, ...
#   TMX_LLAMA_LINKED_BIN  the same of the build whose CPU backend is linked in; may not exist (scripts/setup.sh --linked)
#   TMX_MODEL           the embedded model as Q8_0; may not exist
# Strings TMX_GGML_VERSION and TMX_GGML_COMMIT: what the backend will accept at run time.

# ggml versions whose interface tables this code was written and tested against. They are filled by position and change
# without a new API version, so anything else is refused, here and again when the backend is loaded.
set(TMX_SUPPORTED_GGML 0.25.3)

if(DEFINED ENV{TMX_DEPS_DIR})
    set(default_deps $ENV{TMX_DEPS_DIR})
else()
    set(default_deps ${PROJECT_SOURCE_DIR}/.deps)
endif()
set(TMX_DEPS_DIR ${default_deps} CACHE PATH "Where scripts/setup.sh put llama.cpp and the model")
set(TMX_LLAMA_LINKED_BIN ${TMX_DEPS_DIR}/llama-build-linked/bin)
set(TMX_MODEL ${TMX_DEPS_DIR}/models/SmolLM2-135M-Instruct-Q8_0.gguf)

if(TMX_LLAMA_CPP)
    list(GET TMX_LLAMA_CPP 0 TMX_LLAMA_SOURCE)
    list(LENGTH TMX_LLAMA_CPP parts)
    if(parts GREATER 1)
        list(GET TMX_LLAMA_CPP 1 TMX_LLAMA_BUILD)
    else()
        set(TMX_LLAMA_BUILD ${TMX_LLAMA_SOURCE}/build)
    endif()
else()
    set(TMX_LLAMA_SOURCE ${TMX_DEPS_DIR}/llama_cpp_python-0.3.36/vendor/llama.cpp)
    set(TMX_LLAMA_BUILD ${TMX_DEPS_DIR}/llama-build)
endif()
set(TMX_LLAMA_BIN ${TMX_LLAMA_BUILD}/bin)

if(NOT EXISTS ${TMX_LLAMA_SOURCE}/ggml/src/ggml-backend-impl.h)
    message(FATAL_ERROR
        "No llama.cpp source at ${TMX_LLAMA_SOURCE}.\n"
        "Run scripts/setup.sh to fetch and build the pinned one, or pass your own: "
        "-DTMX_LLAMA_CPP='/path/to/llama.cpp;/path/to/its/build'.")
endif()
if(NOT EXISTS ${TMX_LLAMA_BIN}/libggml-base.so OR NOT EXISTS ${TMX_LLAMA_BIN}/libllama.so)
    message(FATAL_ERROR
        "No shared llama.cpp libraries in ${TMX_LLAMA_BIN}.\n"
        "The backend is a plug-in, so llama.cpp must be built with -DBUILD_SHARED_LIBS=ON "
        "(scripts/setup.sh does it for the pinned one).")
endif()

# Ask the built library, not the source tree, what it calls itself: that is what a host will report.
try_run(version_exit version_compiled
    SOURCE_FROM_CONTENT version.c "#include <stdio.h>
const char * ggml_version(void); const char * ggml_commit(void);
int main(void) { printf(\"%s;%s\", ggml_version(), ggml_commit()); return 0; }"
    LINK_LIBRARIES ${TMX_LLAMA_BIN}/libggml-base.so
    RUN_OUTPUT_VARIABLE version_output)
if(NOT version_compiled OR NOT version_exit EQUAL 0)
    message(FATAL_ERROR "Could not ask ${TMX_LLAMA_BIN}/libggml-base.so for its version: ${version_output}")
endif()
list(GET version_output 0 TMX_GGML_VERSION)
list(GET version_output 1 TMX_GGML_COMMIT)
string(REGEX REPLACE "-dirty$" "" TMX_GGML_COMMIT "${TMX_GGML_COMMIT}")
if(NOT TMX_GGML_VERSION IN_LIST TMX_SUPPORTED_GGML)
    list(JOIN TMX_SUPPORTED_GGML ", " supported)
    message(FATAL_ERROR
        "llama.cpp at ${TMX_LLAMA_SOURCE} has ggml ${TMX_GGML_VERSION}; supported: ${supported}.\n"
        "Use one of these, or the pinned one (leave TMX_LLAMA_CPP empty and run scripts/setup.sh).")
endif()
message(STATUS "llama.cpp: ${TMX_LLAMA_SOURCE}, ggml ${TMX_GGML_VERSION} (${TMX_GGML_COMMIT})")

add_library(tmx_ggml INTERFACE)
add_library(tmx::ggml ALIAS tmx_ggml)
target_include_directories(tmx_ggml SYSTEM INTERFACE ${TMX_LLAMA_SOURCE}/ggml/include)
target_compile_definitions(tmx_ggml INTERFACE GGML_SHARED GGML_BACKEND_SHARED)
target_link_libraries(tmx_ggml INTERFACE ${TMX_LLAMA_BIN}/libggml.so ${TMX_LLAMA_BIN}/libggml-base.so)

add_library(tmx_ggml_internal INTERFACE)
add_library(tmx::ggml_internal ALIAS tmx_ggml_internal)
target_include_directories(tmx_ggml_internal SYSTEM INTERFACE ${TMX_LLAMA_SOURCE}/ggml/src)
target_link_libraries(tmx_ggml_internal INTERFACE tmx_ggml)

add_library(tmx_llama INTERFACE)
add_library(tmx::llama ALIAS tmx_llama)
target_include_directories(tmx_llama SYSTEM INTERFACE ${TMX_LLAMA_SOURCE}/include)
target_compile_definitions(tmx_llama INTERFACE LLAMA_SHARED)
target_link_libraries(tmx_llama INTERFACE ${TMX_LLAMA_BIN}/libllama.so tmx_ggml)
