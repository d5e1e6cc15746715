/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels with CONFIG_HARDENED_USERCOPY check what a copy from user memory goes to; since 0aef499f3172 (5.18) that takes
 * the lock of the list of vmalloc areas. Until d319f344561d (6.4, and stable kernels that have it) the copy
 * of bpf_probe_read_user took it, too: in an interrupt of code that holds the lock the CPU waits for itself. Which of
 * the kernels before 6.4 have been mended, no version tells. Their code does: with the same change
 * copy_from_user_nofault began to call nmi_uaccess_okay.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "kern/features.h"

#define FIXED_MAJOR    6
#define FIXED_MINOR    4
#define CODE_BYTES_MAX 1024 /* the function has some 150 */
#define SEGMENTS_MAX   64
#define CALL	       0xe8 /* and 32 bits, relative to what follows */
#define CALL_BYTES     5

bool usercopy_calls(const uint8_t *code, size_t size, uint64_t at, uint64_t callee)
{
	for (size_t i = 0; i + CALL_BYTES <= size; i++) {
		int32_t distance;

		if (code[i] != CALL)
			continue;
		memcpy(&distance, &code[i + 1], sizeof(distance));
		if (at + i + CALL_BYTES + (uint64_t)(int64_t)distance == callee)
			return true;
	}
	return false;
}

bool usercopy_switched_off(const char *command_line)
{
	static const char option[] = "hardened_usercopy=";
	const char *p = command_line;
	bool off = false;

	while ((p = strstr(p, option))) {
		bool whole = p == command_line || p[-1] == ' ';

		p += strlen(option);
		/* As kstrtobool reads it: the last one counts. */
		if (whole)
			off = (*p && strchr("nN0fF", *p)) || strncasecmp(p, "of", 2) == 0;
	}
	return off;
}

static bool is_old(const char *release)
{
	unsigned major = 0, minor = 0;

	return sscanf(release, "%u.%u", &major, &minor) == 2 &&
	       (major < FIXED_MAJOR || (major == FIXED_MAJOR && minor < FIXED_MINOR));
}

struct addresses {
	uint64_t copy, copy_end, check, okay;
};

/* One pass over the kernel's symbols, which are not in the order of their addresses. */
static void look(FILE *symbols, struct addresses *a)
{
	char name[128];
	uint64_t at;

	rewind(symbols);
	/* "ADDRESS TYPE NAME", some with the module's name behind */
	while (fscanf(symbols, "%" SCNx64 " %*c %127s%*[^\n]", &at, name) == 2) {
		if (strcmp(name, "copy_from_user_nofault") == 0)
			a->copy = at;
		else if (strcmp(name, "__check_object_size") == 0)
			a->check = at;
		else if (strcmp(name, "nmi_uaccess_okay") == 0)
			a->okay = at;
		if (a->copy && at > a->copy && at < a->copy_end)
			a->copy_end = at;
	}
}

static bool find_addresses(struct addresses *ret)
{
	_cleanup_fclose_ FILE *symbols = fopen("/proc/kallsyms", "re");
	struct addresses a = { .copy_end = UINT64_MAX };

	if (!symbols)
		return false;
	look(symbols, &a);
	if (!a.copy || !a.check) /* hidden, or none such: nothing is checked */
		return false;
	look(symbols, &a);
	*ret = a;
	return true;
}

/* The kernel's own memory, as /proc/kcore has it: an ELF core. */
static int read_code(uint64_t at, uint8_t *code, size_t size)
{
	_cleanup_close_ int fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	Elf64_Phdr segments[SEGMENTS_MAX];
	Elf64_Ehdr head;
	int r = fd < 0 ? -errno : file_pread_all(fd, &head, sizeof(head), 0);

	if (r == 0 && head.e_phnum > SEGMENTS_MAX)
		return -EFBIG;
	if (r == 0)
		r = file_pread_all(fd, segments, head.e_phnum * sizeof(*segments),
				   (off_t)head.e_phoff);
	for (size_t i = 0; r == 0 && i < head.e_phnum; i++) {
		const Elf64_Phdr *s = &segments[i];

		if (s->p_type == PT_LOAD && at >= s->p_vaddr && at - s->p_vaddr < s->p_memsz)
			return file_pread_all(fd, code, size,
					      (off_t)(s->p_offset + (at - s->p_vaddr)));
	}
	return r < 0 ? r : -ENOENT;
}

bool usercopy_locks(const char *release)
{
	_cleanup_(buf_release) struct buf options = { 0 };
	uint8_t code[CODE_BYTES_MAX];
	struct addresses a;
	size_t size;

	if (!is_old(release) || !find_addresses(&a))
		return false;
	size = a.copy_end - a.copy < sizeof(code) ? a.copy_end - a.copy : sizeof(code);
	if (read_code(a.copy, code, size) < 0 || !usercopy_calls(code, size, a.copy, a.check) ||
	    usercopy_calls(code, size, a.copy, a.okay))
		return false;
	return file_read(-1, "/proc/cmdline", 65536, &options) < 0 ||
	       !usercopy_switched_off((const char *)options.data);
}
