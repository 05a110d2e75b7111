# What every target shares: warnings, and files that need the flags of one instruction set.

add_library(prelu_warnings INTERFACE)
target_compile_options(prelu_warnings INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wvla -Wswitch-enum -ffp-contract=off
  $<$<BOOL:${PRELU_WERROR}>:-Werror>)

# Each ISA file gets its own flags and nothing else does.
function(prelu_isa_sources target flags)
  target_sources(${target} PRIVATE ${ARGN})
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "${flags}")
endfunction()
