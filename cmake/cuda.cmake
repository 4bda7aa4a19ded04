# Decides whether the CUDA kernels are built; sets TMX_CUDA_FOUND. What sanitizers, cross builds and other compilers than
# gcc are for, they do not need: AUTO leaves the kernels out there.
set(TMX_CUDA_FOUND FALSE)
set(tmx_cuda_oldest 12.4)  # the first that knows what the Hopper kernel uses and gcc 13

if(TMX_CUDA STREQUAL "ON" OR (TMX_CUDA STREQUAL "AUTO" AND NOT TMX_SANITIZE AND NOT CMAKE_CROSSCOMPILING
                              AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU"))
    include(CheckLanguage)
    if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
        find_program(TMX_NVCC nvcc PATHS /usr/local/cuda/bin)
        if(TMX_NVCC)
            set(CMAKE_CUDA_COMPILER ${TMX_NVCC})
        endif()
    endif()
    set(CMAKE_CUDA_ARCHITECTURES OFF)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
        enable_language(CUDA)
        find_package(CUDAToolkit REQUIRED)
        if(CMAKE_CUDA_COMPILER_VERSION VERSION_GREATER_EQUAL ${tmx_cuda_oldest})
            set(TMX_CUDA_FOUND TRUE)
            # CMake 3.25 does not know that nvcc has C++20.
            foreach(form STANDARD EXTENSION)
                set(CMAKE_CUDA20_${form}_COMPILE_OPTION "-std=c++20")
            endforeach()
            list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
        endif()
    endif()
    if(TMX_CUDA_FOUND)
        message(STATUS "CUDA kernels: nvcc ${CMAKE_CUDA_COMPILER_VERSION}")
    elseif(TMX_CUDA STREQUAL "ON")
        message(FATAL_ERROR "TMX_CUDA=ON needs nvcc ${tmx_cuda_oldest} or newer; found: ${CMAKE_CUDA_COMPILER} "
                            "${CMAKE_CUDA_COMPILER_VERSION}")
    else()
        message(STATUS "CUDA kernels: left out, no nvcc ${tmx_cuda_oldest} or newer")
    endif()
endif()

# Options of .cu files. Spilled registers are a mistake in the tile sizes: ptxas says so, and its warnings are errors.
set(tmx_gencode_sm80 -gencode=arch=compute_80,code=[sm_80,compute_80])
# Kernels of no architecture's own: nothing is left to the driver to compile on Hopper either.
set(tmx_gencode_any ${tmx_gencode_sm80} -gencode=arch=compute_90,code=sm_90)
set(tmx_gencode_sm90a -gencode=arch=compute_90a,code=sm_90a)
set(tmx_no_spills -Xptxas=--warn-on-spills,--warn-on-local-memory-usage,--warning-as-error)

# tmx_cuda_target(target): what every library with CUDA code needs. The CUDA runtime becomes part of the program.
function(tmx_cuda_target target)
    set_target_properties(${target} PROPERTIES CUDA_ARCHITECTURES OFF
                          CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden)
    target_compile_options(${target} PRIVATE
        $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra -lineinfo>)
    target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR}/include PRIVATE ${PROJECT_SOURCE_DIR}/src)
    # The toolkit's headers are not ours to warn about.
    target_include_directories(${target} SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
    target_link_libraries(${target} PRIVATE CUDA::cudart_static tmx_warnings)
endfunction()
