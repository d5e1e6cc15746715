/* SPDX-License-Identifier: Apache-2.0 */
/* Real binaries: their names against nm and eu-addr2line; then damaged, and truncated while they are read. */
#include "unit/test.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/hmap.h"
#include "elf/file.h"
#include "elf/inspect.h"
#include "elf/symbols.h"
#include "unit/elf/image.h"

static const char *const libc_paths[] = { "/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6",
					  "/usr/lib/libc.so.6" };

/* Of this program, for other programs too. */
static const char *own_path(void)
{
	static char path[32];

	snprintf(path, sizeof(path), "/proc/%d/exe", getpid());
	return path;
}

struct truth {
	uint64_t vaddr, size;
	char name[512];
};

struct truths {
	struct truth *items;
	size_t n, cap;
};

/* Functions with a size, as nm lists them. False when nm cannot be run. */
static bool nm(const char *path, const char *flags, struct truths *t)
{
	char command[512], line[4096], type;
	struct truth one;
	FILE *p;

	snprintf(command, sizeof(command), "nm -S --defined-only %s '%s' 2>/dev/null", flags, path);
	p = popen(command, "r");
	if (!p)
		return false;
	while (fgets(line, sizeof(line), p)) {
		if (sscanf(line, "%lx %lx %c %511s", &one.vaddr, &one.size, &type, one.name) != 4 ||
		    !one.size || !strchr("tTwWiu", type))
			continue;
		one.name[strcspn(one.name, "@")] = 0;
		assert_int_equal(array_reserve(&t->items, &t->cap, t->n + 1), 0);
		t->items[t->n++] = one;
	}
	return pclose(p) == 0 && t->n > 0;
}

static int by_address(const void *a, const void *b)
{
	const struct truth *x = a, *y = b;

	return x->vaddr < y->vaddr ? -1 : x->vaddr > y->vaddr;
}

/* Whether some symbol of that name covers the address. */
static bool covers(const struct truths *t, uint64_t vaddr, const char *name, size_t size)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (t->items[mid].vaddr <= vaddr)
			low = mid + 1;
		else
			high = mid;
	}
	while (low-- > 0)
		if (vaddr - t->items[low].vaddr < t->items[low].size &&
		    strlen(t->items[low].name) == size &&
		    memcmp(t->items[low].name, name, size) == 0)
			return true;
	return false;
}

static void compare_with_nm(const char *path, const char *flags)
{
	struct elf_symbols *s = NULL;
	struct truths t = { 0 };
	struct elf_file f;
	size_t checked = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	if (!nm(path, flags, &t)) {
		print_message("[  SKIPPED ] nm finds no functions in %s\n", path);
		close(fd);
		return;
	}
	qsort(t.items, t.n, sizeof(*t.items), by_address);
	assert_int_equal(elf_file_init(&f, fd), 0);
	assert_int_equal(elf_symbols_new(fd, &s), 0);
	for (size_t i = 0; i < t.n; i++) {
		uint64_t at[] = { t.items[i].vaddr, t.items[i].vaddr + t.items[i].size / 2,
				  t.items[i].vaddr + t.items[i].size - 1 };

		for (size_t k = 0; k < ARRAY_SIZE(at); k++) {
			struct elf_symbol found;
			uint64_t offset;

			if (!elf_file_offset(&f, at[k], &offset) ||
			    !(elf_file_segment(&f, at[k])->flags & PF_X))
				continue;
			if (elf_symbols_find(s, offset, &found) < 0)
				fail_msg("%s: %lx is %s, but has no name", path, at[k],
					 t.items[i].name);
			if (!covers(&t, at[k], found.name, found.name_size))
				fail_msg("%s: %lx is %s, not %.*s", path, at[k], t.items[i].name,
					 (int)found.name_size, found.name);
			checked++;
		}
	}
	print_message("%s: %zu addresses agree with nm\n", path, checked);
	assert_true(checked > 10);
	elf_symbols_free(s);
	elf_file_release(&f);
	free(t.items);
	close(fd);
}

static const char *libc_path(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(libc_paths); i++)
		if (access(libc_paths[i], R_OK) == 0)
			return libc_paths[i];
	return NULL;
}

static void names_agree_with_nm(void **state)
{
	const char *libc = libc_path();

	(void)state;
	compare_with_nm(own_path(), "");
	if (libc)
		compare_with_nm(libc, "-D");
	if (access("/usr/bin/python3", R_OK) == 0)
		compare_with_nm("/usr/bin/python3", "-D");
}

/* Two lines an address from eu-addr2line, another reader of the same tables: "name+0x12", file:line. */
static void compare_with_addr2line(const char *path, const char *flags)
{
	char list[] = "/tmp/kymo-addresses-XXXXXX", command[512], line[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC), list_fd = mkstemp(list);
	size_t same = 0, checked = 0;
	struct elf_symbols *s = NULL;
	struct truths t = { 0 };
	struct elf_file f;
	FILE *p, *addresses;

	assert_true(fd >= 0 && list_fd >= 0);
	assert_true(nm(path, flags, &t));
	addresses = fdopen(list_fd, "w");
	for (size_t i = 0; i < t.n; i++)
		fprintf(addresses, "0x%lx\n", t.items[i].vaddr + t.items[i].size / 2);
	fclose(addresses);
	snprintf(command, sizeof(command), "eu-addr2line -S -e '%s' < %s", path, list);
	p = popen(command, "r");
	assert_non_null(p);
	assert_int_equal(elf_file_init(&f, fd), 0);
	assert_int_equal(elf_symbols_new(fd, &s), 0);
	for (; checked < t.n && fgets(line, sizeof(line), p); checked++) {
		uint64_t offset = 0;
		struct elf_symbol found;

		line[strcspn(line, "+@\n ")] = 0;
		elf_file_offset(&f, t.items[checked].vaddr + t.items[checked].size / 2, &offset);
		if (elf_symbols_find(s, offset, &found) == 0 && strlen(line) == found.name_size &&
		    memcmp(line, found.name, found.name_size) == 0)
			same++;
		if (!fgets(line, sizeof(line), p))
			break;
	}
	pclose(p);
	unlink(list);
	print_message("%s: %zu of %zu names are eu-addr2line's\n", path, same, checked);
	assert_int_equal(checked, t.n);
	/* The rest are other names of the same function. */
	assert_true(same * 100 >= checked * 90);
	elf_symbols_free(s);
	elf_file_release(&f);
	free(t.items);
	close(fd);
}

static void names_agree_with_addr2line(void **state)
{
	const char *libc = libc_path();

	(void)state;
	if (system("eu-addr2line --version >/dev/null 2>&1") != 0 ||
	    system("nm --version >/dev/null 2>&1") != 0) {
		print_message("[  SKIPPED ] no eu-addr2line (package elfutils) or no nm\n");
		skip();
	}
	compare_with_addr2line(own_path(), "");
	if (access("/usr/bin/python3", R_OK) == 0)
		compare_with_addr2line("/usr/bin/python3", "-D");
	if (libc)
		compare_with_addr2line(libc, "-D");
}

static void read_all_of(const uint8_t *data, size_t size, uint64_t *seed)
{
	struct elf_symbols *s = NULL;
	struct elf_symbol found;
	struct elf_facts facts;

	(void)elf_inspect_memory(data, size, &facts);
	if (elf_symbols_new_memory(data, size, &s) < 0)
		return;
	for (int i = 0; i < 64; i++)
		if (elf_symbols_find(s, image_random(seed) % (size + 1), &found) == 0)
			assert_true(found.name_size < ELF_NAME_MAX);
	elf_symbols_free(s);
}

/* Damage where it hurts: the headers, the tables that they lead to; now and then anywhere. */
static void flip(struct buf *b, uint64_t *seed, const struct elf_file *f)
{
	uint64_t r = image_random(seed), at = image_random(seed) % b->size;
	const struct elf_section *s;
	Elf64_Ehdr *eh = (void *)b->data;

	switch (r % 4) {
	case 0:
		at = image_random(seed) % (sizeof(*eh) + 16 * sizeof(Elf64_Phdr));
		break;
	case 1:
		at = eh->e_shoff + image_random(seed) % (40 * sizeof(Elf64_Shdr));
		break;
	case 2:
		if (f->sections_n) {
			s = &f->sections[image_random(seed) % f->sections_n];
			at = s->size ? s->offset + image_random(seed) % s->size : at;
		}
		break;
	default:
		break;
	}
	if (at < b->size)
		b->data[at] = r & 0x100 ? (uint8_t)(r >> 16)
					: b->data[at] ^ (uint8_t)(1U << (r >> 9 & 7));
}

static void fuzz_file(const char *path, uint64_t seed, uint64_t for_ns)
{
	struct buf b = { 0 }, damaged = { 0 };
	uint64_t until = clock_mono_ns() + for_ns;
	struct elf_file f;
	int runs = 0;

	if (!path || !image_load(path, &b)) {
		print_message("[  SKIPPED ] cannot read %s\n", path ? path : "libc");
		return;
	}
	assert_int_equal(elf_file_init_memory(&f, b.data, b.size), 0);
	for (; runs < 500 && clock_mono_ns() < until; runs++) {
		buf_clear(&damaged);
		assert_int_equal(buf_append(&damaged, b.data, b.size), 0);
		for (uint64_t n = 1 + image_random(&seed) % 8; n > 0; n--)
			flip(&damaged, &seed, &f);
		read_all_of(damaged.data,
			    damaged.size - image_random(&seed) % 4 * (damaged.size / 5), &seed);
	}
	print_message("%s: %d damaged copies read\n", path, runs);
	elf_file_release(&f);
	buf_release(&b);
	buf_release(&damaged);
}

static void damaged_files_are_no_harm(void **state)
{
	(void)state;
	fuzz_file("/proc/self/exe", 1, 2 * NS_PER_SEC);
	fuzz_file(libc_path(), 2, 2 * NS_PER_SEC);
	fuzz_file("/usr/bin/python3", 3, 4 * NS_PER_SEC);
}

#define TRUNCATING_SECONDS 60 /* it ends by itself */

/* Never returns. */
static void truncate_and_restore(int fd, const struct buf *b)
{
	uint64_t until = clock_mono_ns() + TRUNCATING_SECONDS * NS_PER_SEC, seed = 7;

	while (clock_mono_ns() < until) {
		if (pwrite(fd, b->data, b->size, 0) != (ssize_t)b->size)
			_exit(1);
		usleep(300);
		if (ftruncate(fd, (off_t)(image_random(&seed) % b->size)) < 0)
			_exit(1);
		usleep(image_random(&seed) % 300);
	}
	_exit(0);
}

/*
 * Its owner truncates and restores the file all the time; with mmap this would be SIGBUS. Until both have been met often,
 * and for a second at least: who runs when is the scheduler's.
 */
static void a_file_truncated_while_it_is_read(void **state)
{
	int fd = memfd_create("victim", MFD_CLOEXEC), status;
	uint64_t until = clock_mono_ns() + NS_PER_SEC;
	struct buf b = { 0 };
	pid_t owner;
	int good = 0, bad = 0;

	(void)state;
	assert_true(fd >= 0);
	assert_true(image_load("/proc/self/exe", &b));
	owner = fork();
	assert_true(owner >= 0);
	if (owner == 0)
		truncate_and_restore(fd, &b);
	while (waitpid(owner, &status, WNOHANG) == 0) {
		struct elf_symbols *s = NULL;
		struct elf_facts facts;
		int r = elf_inspect(fd, &facts);

		if (r == 0)
			r = elf_symbols_new(fd, &s);
		elf_symbols_free(s);
		good += r == 0;
		bad += r < 0;
		if (good >= 20 && bad >= 20 && clock_mono_ns() > until)
			kill(owner, SIGKILL);
	}
	print_message("%d whole, %d not\n", good, bad);
	assert_true(good >= 20 && bad >= 20);
	assert_true(WIFSIGNALED(status));
	buf_release(&b);
	close(fd);
}

/* A PLT stub has no symbol; its name comes from the relocation of its slot. */
static void plt_stubs_have_the_names_of_their_targets(void **state)
{
	static const char *const sections[] = { ".plt.sec", ".plt", ".plt.got" };
	const char *path = access("/bin/ls", R_OK) == 0 ? "/bin/ls" : "/proc/self/exe";
	struct elf_symbols *s = NULL;
	bool seen_malloc = false;
	size_t named = 0;
	struct elf_file f;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(elf_file_init(&f, fd), 0);
	if (f.machine != EM_X86_64) {
		print_message("[  SKIPPED ] only x86-64 stubs are known\n");
		skip();
	}
	assert_int_equal(elf_symbols_new(fd, &s), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		const struct elf_section *plt = elf_file_section(&f, sections[i]);
		struct elf_symbol found;

		for (uint64_t at = 0; plt && at < plt->size; at += 16) {
			if (elf_symbols_find(s, plt->offset + at, &found) < 0 || found.is_address)
				continue;
			named++;
			assert_true(found.name_size > 4);
			assert_memory_equal(found.name + found.name_size - 4, "@plt", 4);
			seen_malloc |= found.name_size == 10 &&
				       memcmp(found.name, "malloc@plt", 10) == 0;
		}
	}
	print_message("%s: %zu stubs named\n", path, named);
	assert_true(named > 10);
	assert_true(seen_malloc);
	elf_symbols_free(s);
	elf_file_release(&f);
	close(fd);
}

/* What strip leaves: the functions of the table that it took, told apart by where they begin. */
static void functions_of_a_stripped_file_are_told_by_where_they_begin(void **state)
{
	char path[] = "/tmp/kymo-stripped-XXXXXX", command[256], expected[32];
	struct elf_symbols *full = NULL, *stripped = NULL;
	size_t same = 0, seen = 0;
	struct truths t = { 0 };
	struct elf_file f;
	int fd, own;

	(void)state;
	close(mkstemp(path));
	snprintf(command, sizeof(command), "strip -o '%s' '%s' 2>/dev/null", path, own_path());
	if (system(command) != 0 || !nm(own_path(), "", &t)) {
		unlink(path);
		print_message("[  SKIPPED ] needs strip and nm\n");
		skip();
	}
	own = open(own_path(), O_RDONLY | O_CLOEXEC);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(elf_symbols_new(own, &full), 0);
	assert_int_equal(elf_symbols_new(fd, &stripped), 0);
	assert_int_equal(elf_file_init(&f, own), 0);
	for (size_t i = 0; i < t.n; i++) {
		const struct elf_segment *seg = elf_file_segment(&f, t.items[i].vaddr);
		struct elf_symbol a, b;
		uint64_t middle;

		if (!seg || !(seg->flags & 1))
			continue;
		middle = t.items[i].vaddr - seg->vaddr + seg->offset + t.items[i].size / 2;
		if (elf_symbols_find(full, middle, &a) < 0 || a.is_address)
			continue;
		seen++;
		if (elf_symbols_find(stripped, middle, &b) < 0 || !b.is_address)
			continue;
		snprintf(expected, sizeof(expected), "+0x%" PRIx64, b.start);
		assert_int_equal(b.name_size, strlen(expected));
		assert_memory_equal(b.name, expected, b.name_size);
		same += a.start == b.start;
	}
	print_message("%zu functions, %zu begin where their symbol did\n", seen, same);
	/* The linker's own (_init, _fini, deregister_tm_clones) have no unwind information. */
	assert_true(seen > 50 && same * 100 >= seen * 95);
	elf_symbols_free(full);
	elf_symbols_free(stripped);
	elf_file_release(&f);
	free(t.items);
	close(fd);
	close(own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_of_a_stripped_file_are_told_by_where_they_begin),
		cmocka_unit_test(names_agree_with_nm),
		cmocka_unit_test(names_agree_with_addr2line),
		cmocka_unit_test(plt_stubs_have_the_names_of_their_targets),
		cmocka_unit_test(damaged_files_are_no_harm),
		cmocka_unit_test(a_file_truncated_while_it_is_read),
	};

	return cmocka_run_group_tests_name("elf/real files", tests, NULL, NULL);
}
