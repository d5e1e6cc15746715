/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as Go's table of functions. Its head is made right but for its sizes and places: the first byte says of
 * which version. What is read lies in the file, and rows of it are sound.
 */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "elf/gopclntab.h"
#include "unwind/unwind.h"

#define TEXT_AT	       0x1000U
#define TEXT_BYTES     0x10000U
#define DEPTHS_MAX     1000000
#define HEAD_BYTES     8
#define FILE_BYTES_MAX (TEXT_AT + TEXT_BYTES + 65536)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct head {
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	Elf64_Shdr sh[4];
	char names[40];
};

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void fill_head(struct head *h, size_t table_bytes)
{
	static const char names[] = "\0.text\0.gopclntab\0.shstrtab";

	*h = (struct head){
		.eh = { .e_type = ET_EXEC,
			.e_machine = EM_X86_64,
			.e_phoff = offsetof(struct head, ph),
			.e_shoff = offsetof(struct head, sh),
			.e_phentsize = sizeof(Elf64_Phdr),
			.e_phnum = 1,
			.e_shentsize = sizeof(Elf64_Shdr),
			.e_shnum = 4,
			.e_shstrndx = 3 },
		.ph = { .p_type = PT_LOAD, .p_flags = PF_X, .p_filesz = FILE_BYTES_MAX }
	};
	memcpy(h->eh.e_ident, ELFMAG, SELFMAG);
	h->eh.e_ident[EI_CLASS] = ELFCLASS64;
	h->eh.e_ident[EI_DATA] = ELFDATA2LSB;
	memcpy(h->names, names, sizeof(names));
	h->sh[1] = (Elf64_Shdr){ .sh_name = 1,
				 .sh_type = SHT_PROGBITS,
				 .sh_addr = TEXT_AT,
				 .sh_offset = TEXT_AT,
				 .sh_size = TEXT_BYTES };
	h->sh[2] = (Elf64_Shdr){ .sh_name = 7,
				 .sh_type = SHT_PROGBITS,
				 .sh_addr = TEXT_AT + TEXT_BYTES,
				 .sh_offset = TEXT_AT + TEXT_BYTES,
				 .sh_size = table_bytes };
	h->sh[3] = (Elf64_Shdr){ .sh_name = 18,
				 .sh_type = SHT_STRTAB,
				 .sh_offset = offsetof(struct head, names),
				 .sh_size = sizeof(names) };
}

static void wrap(const uint8_t *data, size_t size, struct buf *out)
{
	uint8_t magic[HEAD_BYTES] = { data[0] & 1 ? 0xf1 : 0xf0, 0xff, 0xff, 0xff, 0, 0, 1, 8 };
	struct head h;

	fill_head(&h, HEAD_BYTES + size - 1);
	require(buf_reserve(out, TEXT_AT + TEXT_BYTES + HEAD_BYTES + size) == 0);
	memset(out->data, 0x90, TEXT_AT + TEXT_BYTES);
	memcpy(out->data, &h, sizeof(h));
	out->size = TEXT_AT + TEXT_BYTES;
	require(buf_append(out, magic, sizeof(magic)) == 0);
	require(buf_append(out, data + 1, size - 1) == 0);
}

static void read_table(const struct elf_file *f)
{
	struct gopclntab_function function;
	struct gopclntab g;
	size_t depths = 0;

	if (gopclntab_init(&g, f) < 0)
		return;
	for (uint32_t i = 0; i < g.functions_n; i++) {
		struct gopclntab_depth d = { 0 };

		if (!gopclntab_function(&g, i, &function))
			continue;
		require(function.start < function.end);
		d.at = function.depths;
		while (depths++ < DEPTHS_MAX && gopclntab_next(&g, &d))
			require(d.at <= g.size);
	}
	gopclntab_release(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf file = { 0 };
	struct unwind_table *t;
	struct elf_file f;

	if (!size)
		return 0;
	wrap(data, size, &file);
	if (elf_file_init_memory(&f, file.data, file.size) == 0) {
		read_table(&f);
		elf_file_release(&f);
	}
	if (unwind_table_build_memory(file.data, file.size, &t) == 0) {
		for (uint64_t at = 0; at < TEXT_AT + TEXT_BYTES; at += 16)
			require(unwind_table_find(t, at)->cfa_kind < KYMO_UNWIND_CFA_MAX);
		unwind_table_free(t);
	}
	buf_release(&file);
	return 0;
}
