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
