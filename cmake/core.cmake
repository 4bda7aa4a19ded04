# What a host needs of us whatever its ggml is laid out like, is one shared library (src/core): the parts of the backend
# link it, and Python opens it. Modules of which it is made call tmx_core_modules().
set_property(GLOBAL PROPERTY TMX_CORE_MODULES "")

# Their functions are visible where a linker script does not hide them again, which all our other libraries have.
function(tmx_core_modules)
    foreach(module IN LISTS ARGN)
        set_target_properties(${module} PROPERTIES CXX_VISIBILITY_PRESET default)
        target_compile_options(${module} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-fno-semantic-interposition>)
        set_property(GLOBAL APPEND PROPERTY TMX_CORE_MODULES ${module})
    endforeach()
endfunction()
