# tmx_warnings: the flags of our own targets. Linked PRIVATE, so that users of the library do not inherit them.
add_library(tmx_warnings INTERFACE)
target_compile_options(tmx_warnings INTERFACE
    $<$<COMPILE_LANGUAGE:C,CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror>)
