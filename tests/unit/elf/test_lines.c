/* SPDX-License-Identifier: Apache-2.0 */
/* Lines and inlined functions of this very program, held against binutils' addr2line, which reads DWARF with code of its own. */
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "elf/lines.h"

#define ADDRESSES_MAX 3000

static uint64_t addresses[ADDRESSES_MAX];
static size_t addresses_n;

static void open_self(struct elf_file *f)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	assert_true(fd >= 0);
	assert_int_equal(elf_file_init(f, fd), 0);
}

static void choose(const struct elf_file *f)
{
	const struct elf_section *text = elf_file_section(f, ".text");

	assert_non_null(text);
	for (uint64_t at = text->vaddr;
	     at < text->vaddr + text->size && addresses_n < ADDRESSES_MAX;
	     at += text->size / ADDRESSES_MAX + 1)
		addresses[addresses_n++] = at;
}

/* All addresses asked at once: "0xADDRESS", then a function and a FILE:LINE for each level, innermost first. */
static FILE *ask_addr2line(void)
{
	char self[4096], command[4400], list[] = "/tmp/kymo-lines-XXXXXX";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int fd = mkstemp(list);
	FILE *p;

	assert_true(n > 0 && fd >= 0);
	self[n] = 0;
	for (size_t i = 0; i < addresses_n; i++)
		dprintf(fd, "%llx\n", (unsigned long long)addresses[i]);
	close(fd);
	snprintf(command, sizeof(command), "addr2line -a -f -i -e '%s' < %s; rm %s", self, list,
		 list);
	p = popen(command, "r");
	assert_non_null(p);
	return p;
}

static bool same(const struct elf_line *l, const char *name, const char *place)
{
	const char *colon = strrchr(place, ':');

	return l->name && strcmp(l->name, name) == 0 && colon &&
	       (uint32_t)atoi(colon + 1) == l->line;
}

static void they_are_what_addr2line_says(void **state)
{
	struct elf_line found[ELF_LINES_DEPTH_MAX];
	char name[4096], place[4096], *ok;
	size_t right = 0, compared = 0, inlined = 0, level = 0, n = 0, i = 0;
	struct elf_lines *l;
	struct elf_file f;
	FILE *p;

	(void)state;
	if (access("/usr/bin/addr2line", X_OK) < 0) {
		print_message("needs binutils' addr2line\n");
		skip();
	}
	open_self(&f);
	choose(&f);
	assert_int_equal(elf_lines_new(&f, NULL, &l), 0);
	assert_int_equal(elf_lines_find(l, addresses, addresses_n, 0), 0);
	p = ask_addr2line();
	ok = fgets(name, sizeof(name), p);
	while (ok) {
		name[strcspn(name, "\n")] = 0;
		if (strncmp(name, "0x", 2) == 0) {
			n = elf_lines_get(l, i++, found, ELF_LINES_DEPTH_MAX);
			level = n;
		} else {
			assert_non_null(fgets(place, sizeof(place), p));
			place[strcspn(place, "\n(")] = 0;
			if (n && strcmp(name, "??") != 0) {
				compared++;
				inlined += level > 1;
				right += level > 0 && same(&found[level - 1], name, place);
			}
			level -= level > 0;
		}
		ok = fgets(name, sizeof(name), p);
	}
	pclose(p);
	print_message("%zu of %zu levels at %zu addresses agree, %zu of them inlined\n", right,
		      compared, i, inlined);
	assert_int_equal(i, addresses_n);
	assert_true(compared > 500);
	assert_true(right * 100 >= compared * 97);
	elf_lines_free(l);
	close(f.fd);
	elf_file_release(&f);
}

static void a_file_without_dwarf_says_so(void **state)
{
	struct elf_file f = { .fd = -1 };
	struct elf_lines *l;

	(void)state;
	assert_int_equal(elf_lines_new(&f, NULL, &l), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(they_are_what_addr2line_says),
		cmocka_unit_test(a_file_without_dwarf_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
