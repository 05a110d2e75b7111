/* The tile kernel's own source on the emulator's instructions; built with the kernel's flags. */
#include "amx_emulator.h"
#define krn_gemm_bf16_96x16__amx krn_gemm_bf16_96x16__emulated
#include "kernels/gemm_bf16_amx.c"
