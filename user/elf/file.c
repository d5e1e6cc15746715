/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/file.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Real programs have about a dozen segments and some 40 sections. */
#define SEGMENTS_MAX	  1024
#define SECTIONS_MAX	  16384
#define SECTION_NAMES_MAX (4 << 20)

int64_t elf_file_read_some(const struct elf_file *f, uint64_t offset, void *data, size_t size)
{
	size_t done = 0;

	if (offset >= f->size)
		return 0;
	if (size > f->size - offset)
		size = f->size - offset;
	if (f->fd < 0) {
		memcpy(data, f->memory + offset, size);
		return (int64_t)size;
	}
	while (done < size) {
		ssize_t n = pread(f->fd, (char *)data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break; /* truncated since it was opened */
		done += (size_t)n;
	}
	return (int64_t)done;
}

int elf_file_read(const struct elf_file *f, uint64_t offset, void *data, size_t size)
{
	int64_t n = elf_file_read_some(f, offset, data, size);

	if (n < 0)
		return (int)n;
	return (size_t)n == size ? 0 : -EBADMSG;
}

int elf_file_load(const struct elf_file *f, uint64_t offset, uint64_t size, uint64_t max,
		  uint8_t **ret)
{
	_cleanup_free_ uint8_t *data = NULL;
	int r;

	/* Before the allocation: a header may claim any size, the file has its own. */
	if (offset > f->size || size > f->size - offset)
		return -EBADMSG;
	if (size > max)
		return -EFBIG;
	data = malloc(size + 1);
	if (!data)
		return -ENOMEM;
	r = elf_file_read(f, offset, data, size);
	if (r < 0)
		return r;
	data[size] = 0;
	*ret = TAKE_PTR(data);
	return 0;
}

static int read_header(struct elf_file *f, Elf64_Ehdr *eh)
{
	int r = elf_file_read(f, 0, eh, sizeof(*eh));

	if (r < 0)
		return r;
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
		return -EBADMSG;
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return -ENOTSUP;
	f->machine = eh->e_machine;
	f->type = eh->e_type;
	return 0;
}

static int read_segments(struct elf_file *f, const Elf64_Ehdr *eh)
{
	_cleanup_free_ Elf64_Phdr *ph = NULL;
	int r;

	if (!eh->e_phnum)
		return 0;
	if (eh->e_phentsize != sizeof(*ph) || eh->e_phnum > SEGMENTS_MAX)
		return -EBADMSG;
	r = elf_file_load(f, eh->e_phoff, eh->e_phnum * sizeof(*ph), SEGMENTS_MAX * sizeof(*ph),
			  (uint8_t **)&ph);
	if (r < 0)
		return r;
	f->segments = calloc(eh->e_phnum, sizeof(*f->segments));
	if (!f->segments)
		return -ENOMEM;
	for (size_t i = 0; i < eh->e_phnum; i++) {
		struct elf_segment *s = &f->segments[f->segments_n];

		*s = (struct elf_segment){ .type = ph[i].p_type,
					   .flags = ph[i].p_flags,
					   .offset = ph[i].p_offset,
					   .vaddr = ph[i].p_vaddr,
					   .file_size = ph[i].p_filesz };
		/* Clipped once, so that no later sum of its fields wraps. */
		if (s->offset > f->size || s->vaddr + s->file_size < s->vaddr)
			continue;
		if (s->file_size > f->size - s->offset)
			s->file_size = f->size - s->offset;
		f->segments_n++;
	}
	return 0;
}

static void add_sections(struct elf_file *f, const Elf64_Shdr *sh, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct elf_section *s = &f->sections[i];

		*s = (struct elf_section){ .type = sh[i].sh_type,
					   .link = sh[i].sh_link,
					   .name = sh[i].sh_name,
					   .flags = sh[i].sh_flags,
					   .vaddr = sh[i].sh_addr,
					   .offset = sh[i].sh_offset,
					   .size = sh[i].sh_size };
		if (s->type == SHT_NOBITS || s->offset > f->size || s->size > f->size - s->offset ||
		    s->vaddr + s->size < s->vaddr)
			s->size = 0;
	}
	f->sections_n = n;
}

/* The table may be stripped or damaged: then there are no sections, and segments must do. */
static int read_sections(struct elf_file *f, const Elf64_Ehdr *eh)
{
	_cleanup_free_ Elf64_Shdr *sh = NULL;
	const struct elf_section *names;
	int r;

	if (!eh->e_shnum || eh->e_shnum > SECTIONS_MAX || eh->e_shentsize != sizeof(*sh))
		return 0;
	r = elf_file_load(f, eh->e_shoff, eh->e_shnum * sizeof(*sh), SECTIONS_MAX * sizeof(*sh),
			  (uint8_t **)&sh);
	if (r < 0)
		return r == -EBADMSG ? 0 : r;
	f->sections = calloc(eh->e_shnum, sizeof(*f->sections));
	if (!f->sections)
		return -ENOMEM;
	add_sections(f, sh, eh->e_shnum);
	if (eh->e_shstrndx >= f->sections_n)
		return 0;
	names = &f->sections[eh->e_shstrndx];
	r = elf_file_load(f, names->offset, names->size, SECTION_NAMES_MAX,
			  (uint8_t **)&f->section_names);
	if (r == 0)
		f->section_names_size = names->size;
	return r == -ENOMEM ? r : 0;
}

static int init(struct elf_file *f)
{
	Elf64_Ehdr eh;
	int r = read_header(f, &eh);

	if (r == 0)
		r = read_segments(f, &eh);
	if (r == 0)
		r = read_sections(f, &eh);
	if (r < 0)
		elf_file_release(f);
	return r;
}

int elf_file_init(struct elf_file *f, int fd)
{
	/* Not fstat: the sandbox has no call that takes a path, and glibc's fstat is one. */
	off_t size = lseek(fd, 0, SEEK_END);

	if (size < 0)
		return -errno;
	*f = (struct elf_file){ .fd = fd, .size = (uint64_t)size };
	return init(f);
}

int elf_file_init_memory(struct elf_file *f, const void *data, size_t size)
{
	*f = (struct elf_file){ .fd = -1, .memory = data, .size = size };
	return init(f);
}

void elf_file_release(struct elf_file *f)
{
	free(f->segments);
	free(f->sections);
	free(f->section_names);
	*f = (struct elf_file){ .fd = -1 };
}

const struct elf_segment *elf_file_segment(const struct elf_file *f, uint64_t vaddr)
{
	for (size_t i = 0; i < f->segments_n; i++) {
		const struct elf_segment *s = &f->segments[i];

		if (s->type == PT_LOAD && vaddr >= s->vaddr && vaddr - s->vaddr < s->file_size)
			return s;
	}
	return NULL;
}

bool elf_file_offset(const struct elf_file *f, uint64_t vaddr, uint64_t *ret_offset)
{
	const struct elf_segment *s = elf_file_segment(f, vaddr);

	if (!s)
		return false;
	*ret_offset = vaddr - s->vaddr + s->offset;
	return true;
}

int elf_file_read_vaddr(const struct elf_file *f, uint64_t vaddr, void *data, size_t size)
{
	const struct elf_segment *s = elf_file_segment(f, vaddr);

	if (!s || size > s->file_size - (vaddr - s->vaddr))
		return -EBADMSG;
	return elf_file_read(f, vaddr - s->vaddr + s->offset, data, size);
}

const char *elf_file_section_name(const struct elf_file *f, const struct elf_section *section)
{
	return section->name < f->section_names_size ? f->section_names + section->name : "";
}

const struct elf_section *elf_file_section(const struct elf_file *f, const char *name)
{
	for (size_t i = 0; i < f->sections_n; i++)
		if (strcmp(elf_file_section_name(f, &f->sections[i]), name) == 0)
			return &f->sections[i];
	return NULL;
}

const struct elf_section *elf_file_section_of_type(const struct elf_file *f, uint32_t type)
{
	for (size_t i = 0; i < f->sections_n; i++)
		if (f->sections[i].type == type)
			return &f->sections[i];
	return NULL;
}
