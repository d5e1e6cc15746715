/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/arch.h"

#include <elf.h>
#include <string.h>

#include "base/array.h"
#include "kymo/unwind.h"

/* rax, rdx, rcx, rbx, rsi, rdi, rbp, rsp, r8 to r15 */
static const uint8_t x86_signal_words[] = { 18, 17, 19, 16, 14, 13, 15, 20,
					    5,	6,  7,	8,  9,	10, 11, 12 };

static const struct unwind_arch arches[] = {
	{ .machine = EM_X86_64,
	  .sp = KYMO_UNWIND_X86_RSP,
	  .fp = KYMO_UNWIND_X86_RBP,
	  .base = KYMO_UNWIND_X86_RBX,
	  .pc = 16,
	  .signal_words = x86_signal_words,
	  .ra = UNWIND_NO_REGISTER },
	{ .machine = EM_AARCH64,
	  .sp = KYMO_UNWIND_ARM64_SP,
	  .fp = KYMO_UNWIND_ARM64_FP,
	  .base = UNWIND_NO_REGISTER,
	  .pc = UNWIND_NO_REGISTER,
	  .ra = KYMO_UNWIND_ARM64_LR },
};

const struct unwind_arch *unwind_arch(uint16_t machine)
{
	for (size_t i = 0; i < ARRAY_SIZE(arches); i++)
		if (arches[i].machine == machine)
			return &arches[i];
	return NULL;
}

struct code {
	uint16_t machine;
	uint8_t size;
	uint8_t bytes[4];
};

/* May stand in front of any function: endbr64; bti c; bti j; bti jc. */
static const struct code landing_pads[] = {
	{ EM_X86_64, 4, { 0xf3, 0x0f, 0x1e, 0xfa } },
	{ EM_AARCH64, 4, { 0x5f, 0x24, 0x03, 0xd5 } },
	{ EM_AARCH64, 4, { 0x9f, 0x24, 0x03, 0xd5 } },
	{ EM_AARCH64, 4, { 0xdf, 0x24, 0x03, 0xd5 } },
};

/* What only the start of a process does: clear the frame pointer, or take the stack pointer as an argument. */
static const struct code starts[] = {
	{ EM_X86_64, 2, { 0x31, 0xed } },	       /* xor ebp, ebp */
	{ EM_X86_64, 3, { 0x48, 0x31, 0xed } },	       /* xor rbp, rbp */
	{ EM_X86_64, 3, { 0x48, 0x89, 0xe7 } },	       /* mov rdi, rsp */
	{ EM_AARCH64, 4, { 0x1d, 0x00, 0x80, 0xd2 } }, /* mov x29, #0 */
	{ EM_AARCH64, 4, { 0xe0, 0x03, 0x00, 0x91 } }, /* mov x0, sp */
};

static size_t match(const struct code *codes, size_t n, uint16_t machine, const uint8_t *bytes)
{
	for (size_t i = 0; i < n; i++)
		if (codes[i].machine == machine &&
		    memcmp(bytes, codes[i].bytes, codes[i].size) == 0)
			return codes[i].size;
	return 0;
}

bool unwind_arch_entry(const struct unwind_arch *arch, const struct elf_file *f,
		       uint64_t *ret_vaddr)
{
	uint8_t bytes[8] = { 0 };
	size_t at;
	Elf64_Ehdr eh;

	if (elf_file_read(f, 0, &eh, sizeof(eh)) < 0 || !eh.e_entry ||
	    elf_file_read_vaddr(f, eh.e_entry, bytes, sizeof(bytes)) < 0)
		return false;
	at = match(landing_pads, ARRAY_SIZE(landing_pads), arch->machine, bytes);
	if (!match(starts, ARRAY_SIZE(starts), arch->machine, bytes + at))
		return false;
	*ret_vaddr = eh.e_entry;
	return true;
}
