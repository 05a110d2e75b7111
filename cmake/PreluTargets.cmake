# What every target shares: warnings and, in a release, the hardening of Debian's own packages; and
# files that need the flags of one instruction set.

add_library(prelu_warnings INTERFACE)
target_compile_options(prelu_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wvla -Wswitch-enum -ffp-contract=off -fno-trapping-math -fno-math-errno
  $<$<BOOL:${PRELU_WERROR}>:-Werror>
  $<$<CONFIG:Release>:-fstack-protector-strong;-D_FORTIFY_SOURCE=2>)
target_link_options(prelu_warnings INTERFACE $<$<CONFIG:Release>:-Wl,-z,relro,-z,now>)

# Each ISA file gets its own flags and nothing else does. Their loops are unrolled by hand, and
# sanitizers make each of the hundreds of accesses a branch, which costs the compiler minutes: so
# address checks are calls there, and undefined behaviour is looked for in the callers.
function(prelu_isa_sources target flags)
  if(CMAKE_C_FLAGS MATCHES "undefined")
    list(APPEND flags -fno-sanitize=undefined)
    if(CMAKE_C_COMPILER_ID MATCHES "Clang")
      list(APPEND flags -mllvm -asan-instrumentation-with-call-threshold=0)
    endif()
  endif()
  target_sources(${target} PRIVATE ${ARGN})
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "${flags}")
endfunction()

# The manual page of a program, made from its --help, which needs this machine to be able to run it.
function(prelu_manpage program)
  if(CMAKE_CROSSCOMPILING)
    return()
  endif()
  set(page ${PROJECT_BINARY_DIR}/man/${program}.1)
  set(maker ${PROJECT_SOURCE_DIR}/cmake/manpage)
  file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/man)
  add_custom_command(OUTPUT ${page}
    BYPRODUCTS ${page}.gz
    COMMAND ${maker}.sh ${PROJECT_VERSION} $<TARGET_FILE:${program}> > ${page}
    COMMAND gzip -9nkf ${page}
    DEPENDS ${program} ${maker}.sh ${maker}.awk VERBATIM)
  add_custom_target(${program}-man ALL DEPENDS ${page})
  install(FILES ${page}.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endfunction()
