/* SPDX-License-Identifier: Apache-2.0 */
#include "unwind/bases.h"

#include <elf.h>
#include <string.h>

/* mov rsp, rbx; mov rdi, [rsp]; test rdi, rdi */
static const uint8_t leaves_stack[] = {
	0x48, 0x89, 0xdc, 0x48, 0x8b, 0x3c, 0x24, 0x48, 0x85, 0xff
};
static const uint8_t landing_pad[] = { 0xf3, 0x0f, 0x1e, 0xfa };
/* xor rdi, rdi; call */
static const uint8_t exits[] = { 0x48, 0x31, 0xff, 0xe8 };
#define EXITS_BYTES 9	 /* with the call's address and */
#define HALT	    0xf4 /* hlt, which no program may execute */
/* mov rax, 15; syscall */
static const uint8_t returns_from_signal[] = {
	0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05
};

bool bases_leaves_stack(const struct elf_file *f, uint64_t offset)
{
	uint8_t code[BASES_START_MIN];
	size_t at = 0;

	if (f->machine != EM_X86_64 || elf_file_read(f, offset, code, sizeof(code)) < 0)
		return false;
	if (memcmp(code, landing_pad, sizeof(landing_pad)) == 0)
		at = sizeof(landing_pad);
	return memcmp(code + at, leaves_stack, sizeof(leaves_stack)) == 0;
}

bool bases_find_exit(const struct elf_file *f, uint64_t start, uint64_t end, uint64_t *ret_start,
		     uint64_t *ret_end)
{
	uint8_t code[BASES_GAP_MAX];
	uint64_t size = end - start;

	if (f->machine != EM_X86_64 || size < EXITS_BYTES || size > sizeof(code) ||
	    elf_file_read(f, start, code, size) < 0)
		return false;
	for (uint64_t at = 0; at + EXITS_BYTES <= size; at++) {
		if (memcmp(code + at, exits, sizeof(exits)) != 0 ||
		    code[at + EXITS_BYTES - 1] != HALT)
			continue;
		*ret_start = start + at;
		*ret_end = start + at + EXITS_BYTES;
		return true;
	}
	return false;
}

bool bases_returns_from_signal(const struct elf_file *f, uint64_t offset)
{
	uint8_t code[sizeof(returns_from_signal)];

	return f->machine == EM_X86_64 && elf_file_read(f, offset, code, sizeof(code)) == 0 &&
	       memcmp(code, returns_from_signal, sizeof(code)) == 0;
}
