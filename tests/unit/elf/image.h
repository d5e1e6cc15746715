/* SPDX-License-Identifier: Apache-2.0 */
/* ELF files for tests: small ones made by hand, and real ones in memory to be damaged. */
#ifndef KYMO_TEST_ELF_IMAGE_H
#define KYMO_TEST_ELF_IMAGE_H

#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

/* A file whose one segment maps all of it, executable, file offset 0 at IMAGE_VADDR. */
#define IMAGE_VADDR	0x400000UL
#define IMAGE_TEXT	0x1000UL /* file offset of 64 KiB of "code" */
#define IMAGE_TEXT_SIZE 0x10000UL

struct image_symbol {
	const char *name;
	uint64_t offset, size; /* of the file */
	uint8_t info;
};

#define FUNC_GLOBAL ELF64_ST_INFO(STB_GLOBAL, STT_FUNC)
#define FUNC_WEAK   ELF64_ST_INFO(STB_WEAK, STT_FUNC)
#define FUNC_LOCAL  ELF64_ST_INFO(STB_LOCAL, STT_FUNC)
#define NOTYPE	    ELF64_ST_INFO(STB_LOCAL, STT_NOTYPE)
#define OBJECT	    ELF64_ST_INFO(STB_GLOBAL, STT_OBJECT)

enum {
	IMAGE_SECTION_TEXT = 1,
	IMAGE_SECTION_SYMTAB,
	IMAGE_SECTION_STRTAB,
	IMAGE_SECTION_NAMES,
	IMAGE_SECTIONS
};

struct image {
	struct buf b;
	size_t symtab_at, strtab_at, sections_at;
};

static inline Elf64_Shdr *image_section(struct image *im, int i)
{
	return (Elf64_Shdr *)(void *)(im->b.data + im->sections_at) + i;
}

static inline void image_put(struct image *im, const void *data, size_t size)
{
	if (buf_append(&im->b, data, size) < 0)
		abort();
}

static inline void image_make(struct image *im, const struct image_symbol *symbols, size_t n)
{
	static const char names[] = "\0.text\0.symtab\0.strtab\0.shstrtab";
	Elf64_Ehdr eh = {
		.e_type = ET_EXEC, .e_machine = EM_X86_64, .e_version = 1, .e_ehsize = sizeof(eh)
	};
	Elf64_Phdr ph = { .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = IMAGE_VADDR };
	Elf64_Shdr sh[IMAGE_SECTIONS] = { 0 };
	Elf64_Sym null = { 0 };
	struct buf strings = { 0 };
	size_t names_at;

	*im = (struct image){ 0 };
	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_phoff = sizeof(eh);
	eh.e_phentsize = sizeof(ph);
	eh.e_phnum = 1;
	eh.e_shentsize = sizeof(*sh);
	eh.e_shnum = IMAGE_SECTIONS;
	eh.e_shstrndx = IMAGE_SECTION_NAMES;
	if (buf_reserve(&im->b, IMAGE_TEXT + IMAGE_TEXT_SIZE) < 0)
		abort();
	memset(im->b.data, 0x90, IMAGE_TEXT + IMAGE_TEXT_SIZE);
	im->b.size = IMAGE_TEXT + IMAGE_TEXT_SIZE;
	im->symtab_at = im->b.size;
	image_put(im, &null, sizeof(null));
	buf_append(&strings, "", 1);
	for (size_t i = 0; i < n; i++) {
		Elf64_Sym s = { .st_name = (uint32_t)strings.size,
				.st_info = symbols[i].info,
				.st_shndx = IMAGE_SECTION_TEXT,
				.st_value = symbols[i].offset + IMAGE_VADDR,
				.st_size = symbols[i].size };

		image_put(im, &s, sizeof(s));
		buf_append(&strings, symbols[i].name, strlen(symbols[i].name) + 1);
	}
	im->strtab_at = im->b.size;
	image_put(im, strings.data, strings.size);
	names_at = im->b.size;
	image_put(im, names, sizeof(names));
	while (im->b.size % 8)
		image_put(im, "", 1);
	im->sections_at = im->b.size;
	sh[IMAGE_SECTION_TEXT] = (Elf64_Shdr){ .sh_name = 1,
					       .sh_type = SHT_PROGBITS,
					       .sh_flags = SHF_EXECINSTR,
					       .sh_addr = IMAGE_VADDR + IMAGE_TEXT,
					       .sh_offset = IMAGE_TEXT,
					       .sh_size = IMAGE_TEXT_SIZE };
	sh[IMAGE_SECTION_SYMTAB] = (Elf64_Shdr){ .sh_name = 7,
						 .sh_type = SHT_SYMTAB,
						 .sh_link = IMAGE_SECTION_STRTAB,
						 .sh_offset = im->symtab_at,
						 .sh_size = (n + 1) * sizeof(Elf64_Sym),
						 .sh_entsize = sizeof(Elf64_Sym) };
	sh[IMAGE_SECTION_STRTAB] = (Elf64_Shdr){ .sh_name = 15,
						 .sh_type = SHT_STRTAB,
						 .sh_offset = im->strtab_at,
						 .sh_size = strings.size };
	sh[IMAGE_SECTION_NAMES] = (Elf64_Shdr){ .sh_name = 23,
						.sh_type = SHT_STRTAB,
						.sh_offset = names_at,
						.sh_size = sizeof(names) };
	image_put(im, sh, sizeof(sh));
	buf_release(&strings);
	eh.e_shoff = im->sections_at;
	ph.p_filesz = ph.p_memsz = IMAGE_TEXT + IMAGE_TEXT_SIZE;
	memcpy(im->b.data, &eh, sizeof(eh));
	memcpy(im->b.data + sizeof(eh), &ph, sizeof(ph));
}

static inline void image_release(struct image *im)
{
	buf_release(&im->b);
}

/* A whole file in memory of its own; false when it cannot be read. */
static inline bool image_load(const char *path, struct buf *b)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat s;
	ssize_t n = -1;

	if (fd >= 0 && fstat(fd, &s) == 0 && buf_reserve(b, (size_t)s.st_size) == 0)
		n = pread(fd, b->data, (size_t)s.st_size, 0);
	if (n >= 0)
		b->size = (size_t)n;
	if (fd >= 0)
		close(fd);
	return n > 0;
}

/* xorshift: the same damage in each run. */
static inline uint64_t image_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

#endif
