/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbols of a stripped file: any bytes as its .gnu_debugdata, unpacked or (first byte 0) as they are. The table that is made does
 * not overlap, and names nothing outside the file.
 */
#include <assert.h>
#include <elf.h>
#include <lzma.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "elf/symbols.h"

#define TEXT_BYTES 0x10000U

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct head {
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	Elf64_Shdr sh[3];
	char names[32];
};

static void put(struct buf *b, const void *data, size_t size)
{
	if (buf_append(b, data, size) < 0)
		abort();
}

/* A file with an executable segment of TEXT_BYTES at address and offset 0, and that section. */
static void wrap(const uint8_t *section, size_t size, struct buf *out)
{
	static const char names[] = "\0.gnu_debugdata\0.shstrtab";
	struct head h = { .eh = { .e_type = ET_DYN,
				  .e_machine = EM_X86_64,
				  .e_phoff = offsetof(struct head, ph),
				  .e_shoff = offsetof(struct head, sh),
				  .e_phentsize = sizeof(Elf64_Phdr),
				  .e_phnum = 1,
				  .e_shentsize = sizeof(Elf64_Shdr),
				  .e_shnum = 3,
				  .e_shstrndx = 2 },
			  .ph = { .p_type = PT_LOAD, .p_flags = PF_X, .p_filesz = TEXT_BYTES } };

	memcpy(h.eh.e_ident, ELFMAG, SELFMAG);
	h.eh.e_ident[EI_CLASS] = ELFCLASS64;
	h.eh.e_ident[EI_DATA] = ELFDATA2LSB;
	memcpy(h.names, names, sizeof(names));
	h.sh[1] = (Elf64_Shdr){
		.sh_name = 1, .sh_type = SHT_PROGBITS, .sh_offset = TEXT_BYTES, .sh_size = size
	};
	h.sh[2] = (Elf64_Shdr){ .sh_name = 16,
				.sh_type = SHT_STRTAB,
				.sh_offset = offsetof(struct head, names),
				.sh_size = sizeof(names) };
	put(out, &h, sizeof(h));
	if (buf_reserve(out, TEXT_BYTES) < 0)
		abort();
	memset(out->data + out->size, 0, TEXT_BYTES - out->size);
	out->size = TEXT_BYTES;
	put(out, section, size);
}

static void check(const struct elf_symbols *s, uint64_t file_bytes)
{
	struct elf_symbol found;

	for (uint64_t at = 0; at < TEXT_BYTES;) {
		if (elf_symbols_find(s, at, &found) < 0) {
			at += 64;
			continue;
		}
		if (!found.size || found.start > at || at - found.start >= found.size ||
		    found.start + found.size > file_bytes || found.name_size >= ELF_NAME_MAX)
			abort();
		at = found.start + found.size;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf section = { 0 }, file = { 0 };
	struct elf_symbols *s;
	size_t bound, n = 0;

	if (!size)
		return 0;
	bound = lzma_stream_buffer_bound(size);
	if (buf_reserve(&section, bound) < 0)
		abort();
	if (data[0]) {
		if (lzma_easy_buffer_encode(0, LZMA_CHECK_NONE, NULL, data + 1, size - 1,
					    section.data, &n, bound) != LZMA_OK)
			abort();
		section.size = n;
	} else {
		put(&section, data + 1, size - 1);
	}
	wrap(section.data, section.size, &file);
	if (elf_symbols_new_memory(file.data, file.size, &s) == 0) {
		check(s, file.size);
		elf_symbols_free(s);
	}
	buf_release(&section);
	buf_release(&file);
	return 0;
}
