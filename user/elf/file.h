/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded reader of ELF files, by pread alone: the file's owner may change or truncate it
 * at any moment, so nothing is mapped and nothing that was read once is believed twice.
 * 64-bit little-endian files only.
 */
#ifndef KYMO_ELF_FILE_H
#define KYMO_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_segment {
	uint32_t type, flags;
	uint64_t offset, vaddr, file_size;
};

struct elf_section {
	uint32_t type, link, name;
	uint64_t flags, vaddr, offset;
	uint64_t size; /* of its bytes in the file: 0 for .bss and for what lies beyond the file */
};

struct elf_file {
	int fd; /* borrowed; -1 = memory */
	const uint8_t *memory;
	uint64_t size;
	uint16_t machine; /* EM_X86_64, ... */
	uint16_t type;	  /* ET_EXEC, ET_DYN, ... */
	struct elf_segment *segments;
	size_t segments_n;
	struct elf_section *sections; /* none when the table is missing or damaged */
	size_t sections_n;
	char *section_names; /* NUL-terminated as a whole */
	size_t section_names_size;
};

/*
 * 0; -EBADMSG where it is no ELF file or a damaged one; -ENOTSUP for a 32-bit or big-endian one;
 * -errno. The descriptor must stay open as long as f is used.
 */
int elf_file_init(struct elf_file *f, int fd);
/* The same over an image in memory (borrowed). */
int elf_file_init_memory(struct elf_file *f, const void *data, size_t size);
void elf_file_release(struct elf_file *f); /* also valid on zeroes */

/* All `size` bytes at `offset`: 0, -EBADMSG where the file is shorter, -errno. */
int elf_file_read(const struct elf_file *f, uint64_t offset, void *data, size_t size);
/* As much as there is of them: bytes read, 0 behind the end, or -errno. */
int64_t elf_file_read_some(const struct elf_file *f, uint64_t offset, void *data, size_t size);
/* Into new memory with one zero byte behind (caller frees). -EFBIG above `max`. */
int elf_file_load(const struct elf_file *f, uint64_t offset, uint64_t size, uint64_t max,
		  uint8_t **ret);

/* The loaded segment that has the address in its bytes of the file, or NULL. */
const struct elf_segment *elf_file_segment(const struct elf_file *f, uint64_t vaddr);
/* False where no loaded segment has the address. */
bool elf_file_offset(const struct elf_file *f, uint64_t vaddr, uint64_t *ret_offset);
/* All `size` bytes at an address. 0 or -EBADMSG. */
int elf_file_read_vaddr(const struct elf_file *f, uint64_t vaddr, void *data, size_t size);

/* The first section of that name, or NULL. */
const struct elf_section *elf_file_section(const struct elf_file *f, const char *name);
const struct elf_section *elf_file_section_of_type(const struct elf_file *f, uint32_t type);
const char *elf_file_section_name(const struct elf_file *f, const struct elf_section *section);

#endif
