# What every target shares: warnings and, in a release, the hardening of Debian's own packages; and
# files that need the flags of one instruction set.

add_library(prelu_warnings INTERFACE)
target_compile_options(prelu_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wvla -Wswitch-enum -ffp-contract=off -fno-trapping-math -fno-math-errno
  $<$<BOOL:${PRELU_WERROR}>:-Werror>
  $<$<CONFIG:Release>:-fstack-protector-strong;-D_FORTIFY_SOURCE=2>)
target_link_options(prelu_warnings INTERFACE $<$<CONFIG:Release>:-Wl,-z,relro,-z,now>)

# Each ISA file gets its own flags and nothing else does.
function(prelu_isa_sources target flags)
  target_sources(${target} PRIVATE ${ARGN})
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "${flags}")
endfunction()
