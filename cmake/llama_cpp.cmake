# Finds llama.cpp (source and build folder), checks its version, and defines
#   tmx::ggml           public ggml headers and libraries
#   tmx::ggml_internal  ... plus ggml's internal headers; for src/glue only
#   tmx::llama          llama.h and libllama; for src/runtime only
#   TMX_LLAMA_BIN       folder with llama-server, llama-bench, ...
#   TMX_LLAMA_LINKED_BIN  the same of the build whose CPU backend is linked in; may not exist (scripts/setup.sh --linked)
#   TMX_MODEL           the embedded model as Q8_0; may not exist
# Strings TMX_GGML_VERSION and TMX_GGML_COMMIT; TMX_GGML_LAYOUT, the layout of its internals, TMX_OTHER_GGML_LAYOUTS, the
# others of which headers are there, and TMX_PARTS, all of them.

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
    file(STRINGS ${PROJECT_SOURCE_DIR}/scripts/llama.sh pinned REGEX "^pinned_package=")
    string(REPLACE "pinned_package=" "" pinned "${pinned}")
    set(TMX_LLAMA_SOURCE ${TMX_DEPS_DIR}/${pinned}/vendor/llama.cpp)
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

# Which layout of ggml's internals that is. They are filled and read by position, so src/glue is compiled once for each
# known one; which serves a host is found out when it loads us (src/loader/ggml_version.h has the same names).
file(STRINGS ${TMX_LLAMA_SOURCE}/ggml/src/ggml-backend-impl.h api_version REGEX "define GGML_BACKEND_API_VERSION")
string(REGEX REPLACE ".*GGML_BACKEND_API_VERSION ([0-9]+).*" "\\1" api_version "${api_version}")
if(api_version EQUAL 3 AND TMX_GGML_VERSION VERSION_LESS 0.28)
    set(TMX_GGML_LAYOUT 0.26)
elseif(api_version EQUAL 2 AND TMX_GGML_VERSION VERSION_GREATER_EQUAL 0.22)
    set(TMX_GGML_LAYOUT 0.20)
elseif(api_version EQUAL 2 AND TMX_GGML_VERSION VERSION_GREATER_EQUAL 0.14 AND TMX_GGML_VERSION VERSION_LESS 0.19)
    set(TMX_GGML_LAYOUT 0.14)
else()
    message(FATAL_ERROR
        "llama.cpp at ${TMX_LLAMA_SOURCE} has ggml ${TMX_GGML_VERSION}, with which this is not built; it is with 0.14 to "
        "0.18 and 0.22 to 0.27. What is built serves other versions, too.\n"
        "Use one of these, or the pinned one (leave TMX_LLAMA_CPP empty and run scripts/setup.sh).")
endif()
set(TMX_OTHER_GGML_LAYOUTS "")
if(NOT TMX_SANITIZE)
    foreach(layout 0.13 0.14 0.26)
        if(NOT layout STREQUAL TMX_GGML_LAYOUT AND EXISTS ${TMX_DEPS_DIR}/ggml-headers/${layout}/src/ggml-impl.h)
            list(APPEND TMX_OTHER_GGML_LAYOUTS ${layout})
        endif()
    endforeach()
endif()
set(TMX_PARTS ${TMX_GGML_LAYOUT} ${TMX_OTHER_GGML_LAYOUTS})
list(JOIN TMX_PARTS ", " parts)
message(STATUS "llama.cpp: ${TMX_LLAMA_SOURCE}, ggml ${TMX_GGML_VERSION} (${TMX_GGML_COMMIT}); for hosts with the layouts of ggml ${parts}")

add_library(tmx_ggml INTERFACE)
add_library(tmx::ggml ALIAS tmx_ggml)
target_include_directories(tmx_ggml SYSTEM INTERFACE ${TMX_LLAMA_SOURCE}/ggml/include)
target_compile_definitions(tmx_ggml INTERFACE GGML_SHARED GGML_BACKEND_SHARED)
target_link_libraries(tmx_ggml INTERFACE ${TMX_LLAMA_BIN}/libggml.so ${TMX_LLAMA_BIN}/libggml-base.so)

add_library(tmx_ggml_internal INTERFACE)
add_library(tmx::ggml_internal ALIAS tmx_ggml_internal)
target_include_directories(tmx_ggml_internal SYSTEM INTERFACE ${TMX_LLAMA_SOURCE}/ggml/src)
target_link_libraries(tmx_ggml_internal INTERFACE tmx_ggml)

# The same for the other layouts. They are linked against the same library: what it exports has not changed.
foreach(layout IN LISTS TMX_OTHER_GGML_LAYOUTS)
    add_library(tmx_ggml_internal_${layout} INTERFACE)
    add_library(tmx::ggml_internal_${layout} ALIAS tmx_ggml_internal_${layout})
    target_include_directories(tmx_ggml_internal_${layout} SYSTEM INTERFACE
        ${TMX_DEPS_DIR}/ggml-headers/${layout}/include ${TMX_DEPS_DIR}/ggml-headers/${layout}/src)
    target_compile_definitions(tmx_ggml_internal_${layout} INTERFACE GGML_SHARED GGML_BACKEND_SHARED)
    target_link_libraries(tmx_ggml_internal_${layout} INTERFACE ${TMX_LLAMA_BIN}/libggml.so ${TMX_LLAMA_BIN}/libggml-base.so)
endforeach()

add_library(tmx_llama INTERFACE)
add_library(tmx::llama ALIAS tmx_llama)
target_include_directories(tmx_llama SYSTEM INTERFACE ${TMX_LLAMA_SOURCE}/include)
target_compile_definitions(tmx_llama INTERFACE LLAMA_SHARED)
target_link_libraries(tmx_llama INTERFACE ${TMX_LLAMA_BIN}/libllama.so tmx_ggml)
