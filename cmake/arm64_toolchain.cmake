# Cross build for 64-bit ARM on a Debian machine: Debian's cross compiler, the arm64 libraries that
# `scripts/setup.sh --tests` unpacked, and qemu-user to run what comes out.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

if(DEFINED ENV{TMX_DEPS_DIR})
    set(tmx_arm64_root $ENV{TMX_DEPS_DIR}/arm64)
else()
    set(tmx_arm64_root ${CMAKE_CURRENT_LIST_DIR}/../.deps/arm64)
endif()
get_filename_component(tmx_arm64_root ${tmx_arm64_root} ABSOLUTE)

# Header-only libraries (nlohmann-json, CLI11) are the same on every machine, so the host's may be used; compiled ones
# come from the arm64 packages, found first.
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_PREFIX_PATH ${tmx_arm64_root}/usr)
set(CMAKE_FIND_ROOT_PATH ${tmx_arm64_root} /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)

set(ENV{PKG_CONFIG_LIBDIR} ${tmx_arm64_root}/usr/lib/aarch64-linux-gnu/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${tmx_arm64_root})

# A CPU of the first 64-bit generation, a Raspberry Pi 4's: what it runs, all run. The dynamic loader and libraries of the
# cross compiler, then those beside our own (libhwy is linked shared).
set(CMAKE_CROSSCOMPILING_EMULATOR
    qemu-aarch64 -cpu cortex-a72 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=${tmx_arm64_root}/usr/lib/aarch64-linux-gnu)
