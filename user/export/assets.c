/* SPDX-License-Identifier: Apache-2.0 */
/* The assembler finds the files by the same -I as the compiler its headers. */
#include "export/assets.h"

#define ASSET(symbol, file)                            \
	__asm__(".pushsection .rodata\n"               \
		".globl " #symbol "\n" #symbol ":\n"   \
		".incbin \"" file "\"\n"               \
		".byte 0\n"                            \
		".size " #symbol ", . - " #symbol "\n" \
		".type " #symbol ", %object\n"         \
		".popsection\n")

ASSET(asset_flame_js, "export/flame.js");
ASSET(asset_flame_css, "export/flame.css");
