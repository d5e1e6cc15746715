/* SPDX-License-Identifier: Apache-2.0 */
#include "elf/dwarf_image.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

/* .debug_loc, .debug_pubnames and others are half of a file's DWARF, and not needed. */
static const char *const wanted[] = {
	".debug_info",	      ".debug_abbrev", ".debug_line",	".debug_line_str", ".debug_str",
	".debug_str_offsets", ".debug_addr",   ".debug_ranges", ".debug_rnglists",
};
#define WANTED_N ARRAY_SIZE(wanted)

struct image {
	struct buf *out;
	Elf64_Shdr headers[WANTED_N + 2]; /* the null section, those found, their names */
	size_t headers_n;
	struct buf names;
};

bool dwarf_image_possible(const struct elf_file *f)
{
	const struct elf_section *s = elf_file_section(f, ".debug_info");

	return s && s->size > 0;
}

static int align(struct buf *b)
{
	static const uint8_t zeroes[16];

	return buf_append(b, zeroes, -b->size & 15);
}

/* What it takes in memory once libdw has unpacked it, too. */
static int needed(const struct elf_file *f, const struct elf_section *s, uint64_t *ret)
{
	Elf64_Chdr head;
	int r;

	*ret = s->size;
	if (!(s->flags & SHF_COMPRESSED))
		return 0;
	if (s->size < sizeof(head))
		return -EBADMSG;
	r = elf_file_read(f, s->offset, &head, sizeof(head));
	if (r < 0)
		return r;
	return __builtin_add_overflow(s->size, head.ch_size, ret) ? -EFBIG : 0;
}

static int add_section(struct image *im, const struct elf_file *f, const struct elf_section *s,
		       const char *name, uint64_t *bytes_left)
{
	Elf64_Shdr *h = &im->headers[im->headers_n];
	uint64_t bytes;
	int r = needed(f, s, &bytes);

	if (r < 0)
		return r;
	if (bytes > *bytes_left)
		return -EFBIG;
	*bytes_left -= bytes;
	*h = (Elf64_Shdr){ .sh_name = (Elf64_Word)im->names.size,
			   .sh_type = SHT_PROGBITS,
			   .sh_flags = s->flags & SHF_COMPRESSED,
			   .sh_offset = im->out->size,
			   .sh_size = s->size,
			   .sh_addralign = 1 };
	im->headers_n++;
	if (buf_append(&im->names, name, strlen(name) + 1) < 0 ||
	    buf_reserve(im->out, s->size + 16) < 0)
		return -ENOMEM;
	r = elf_file_read(f, s->offset, im->out->data + im->out->size, s->size);
	if (r < 0)
		return r;
	im->out->size += s->size;
	return align(im->out);
}

static int add_head(struct image *im, const struct elf_file *f)
{
	Elf64_Ehdr eh = { .e_type = ET_DYN,
			  .e_machine = f->machine,
			  .e_version = EV_CURRENT,
			  .e_ehsize = sizeof(eh),
			  .e_shentsize = sizeof(Elf64_Shdr) };

	memcpy(eh.e_ident, ELFMAG, SELFMAG);
	eh.e_ident[EI_CLASS] = ELFCLASS64;
	eh.e_ident[EI_DATA] = ELFDATA2LSB;
	eh.e_ident[EI_VERSION] = EV_CURRENT;
	im->headers[im->headers_n++] = (Elf64_Shdr){ 0 };
	if (buf_append(&im->names, "", 1) < 0)
		return -ENOMEM;
	return buf_append(im->out, &eh, sizeof(eh));
}

static int add_tail(struct image *im)
{
	static const char own[] = ".shstrtab";
	Elf64_Shdr *h = &im->headers[im->headers_n++];
	Elf64_Ehdr *eh;

	*h = (Elf64_Shdr){ .sh_name = (Elf64_Word)im->names.size,
			   .sh_type = SHT_STRTAB,
			   .sh_offset = im->out->size,
			   .sh_size = im->names.size + sizeof(own),
			   .sh_addralign = 1 };
	if (buf_append(&im->names, own, sizeof(own)) < 0 ||
	    buf_append(im->out, im->names.data, im->names.size) < 0 || align(im->out) < 0)
		return -ENOMEM;
	eh = (Elf64_Ehdr *)im->out->data;
	eh->e_shoff = im->out->size;
	eh->e_shnum = (Elf64_Half)im->headers_n;
	eh->e_shstrndx = (Elf64_Half)(im->headers_n - 1);
	return buf_append(im->out, im->headers, im->headers_n * sizeof(*im->headers));
}

/* Asked for at once: growing by doubling would hold half a gigabyte twice. */
static int reserve_all(const struct elf_file *f, uint64_t bytes_left, struct buf *out)
{
	uint64_t sum = 4096;

	for (size_t i = 0; i < WANTED_N; i++) {
		const struct elf_section *s = elf_file_section(f, wanted[i]);

		if (s && __builtin_add_overflow(sum, s->size + 16, &sum))
			return -EFBIG;
	}
	return sum > bytes_left ? -EFBIG : buf_reserve(out, sum);
}

int dwarf_image_make(const struct elf_file *f, uint64_t *bytes_left, struct buf *ret)
{
	struct image im = { .out = ret };
	int r;

	if (!dwarf_image_possible(f))
		return -ENOENT;
	r = reserve_all(f, *bytes_left, ret);
	if (r == 0)
		r = add_head(&im, f);
	for (size_t i = 0; i < WANTED_N && r == 0; i++) {
		const struct elf_section *s = elf_file_section(f, wanted[i]);

		if (s && s->size)
			r = add_section(&im, f, s, wanted[i], bytes_left);
	}
	if (r == 0)
		r = add_tail(&im);
	buf_release(&im.names);
	return r;
}
