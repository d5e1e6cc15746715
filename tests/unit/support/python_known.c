/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/support/python_known.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "unit/test.h"

#define WAIT_US	    1000
#define WAIT_ROUNDS 5000

/* ---- what known.py says ---- */

static unsigned state_of(const char *text)
{
	unsigned state = 0;

	if (strstr(text, "holding"))
		state |= KYMO_STATE_GIL_HOLDING;
	if (strstr(text, "waiting"))
		state |= KYMO_STATE_GIL_WAITING;
	if (strstr(text, "collecting"))
		state |= KYMO_STATE_IN_GC;
	return state;
}

static void parse_thread(struct known *k, const char *line)
{
	struct known_thread *t = &k->threads[k->threads_n++];
	char state[32];

	assert_true(k->threads_n <= KNOWN_THREADS_MAX);
	*t = (struct known_thread){ 0 };
	assert_true(sscanf(line, "thread %15s %d %lu %31s %lu", t->name, &t->tid, &t->fs_base,
			   state, &t->futex) >= 4);
	snprintf(t->state_text, sizeof(t->state_text), "%s", state);
	t->state = state_of(state);
}

static void parse_frame(struct known *k, const char *line)
{
	struct known_thread *t = &k->threads[k->threads_n - 1];
	struct known_frame *f = &t->frames[t->frames_n++];
	int ends;

	assert_true(k->threads_n && t->frames_n <= KNOWN_FRAMES_MAX);
	assert_int_equal(sscanf(line, "frame %d %u %127[^\t]\t%255[^\n]", &ends, &f->line, f->name,
				f->file),
			 4);
	f->ends_loop = ends;
}

/* False at "ready". */
static bool parse_line(struct known *k, const char *line)
{
	if (strncmp(line, "thread ", 7) == 0)
		parse_thread(k, line);
	else if (strncmp(line, "frame ", 6) == 0)
		parse_frame(k, line);
	return strcmp(line, "ready\n") != 0;
}

/* ---- alive ---- */

/* The interpreter among the process's files: facts and load bias. */
static bool find_interpreter(struct known *k, const char *line)
{
	unsigned long start, offset;
	char rights[8], path[512];
	_cleanup_close_ int fd = -1;

	if (sscanf(line, "%lx-%*x %7s %lx %*s %*s %511s", &start, rights, &offset, path) != 4 ||
	    rights[2] != 'x' || path[0] != '/')
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || elf_inspect(fd, &k->facts) < 0 || !k->facts.has_python)
		return false;
	k->load_bias = start - (offset + k->facts.text_offset_bias);
	return true;
}

static void read_mappings(struct known *k)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[1024];

	snprintf(path, sizeof(path), "/proc/%d/maps", k->pid);
	f = fopen(path, "re");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (find_interpreter(k, line))
			return;
	fail_msg("no interpreter in process %d", k->pid);
}

/* Waits until the thread sleeps in a system call; its first argument where that is futex(2). */
static uint64_t wait_asleep(const struct known *k, const struct known_thread *t)
{
	bool wants_futex = t->state & KYMO_STATE_GIL_WAITING;
	unsigned long number, first;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", k->pid, t->tid);
	for (int i = 0; i < WAIT_ROUNDS; i++) {
		_cleanup_fclose_ FILE *f = fopen(path, "re");

		assert_non_null(f);
		if (fscanf(f, "%lu %lx", &number, &first) == 2 && (number == 202 || !wants_futex))
			return number == 202 ? first : 0;
		usleep(WAIT_US);
	}
	fail_msg("thread %s does not wait", t->name);
	return 0;
}

#define START_TRIES 5

static FILE *start(struct known *k, const char *python, const char *script, const char *mode)
{
	int out[2];

	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	k->pid = fork();
	assert_true(k->pid >= 0);
	if (k->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(out[1], STDOUT_FILENO);
		execl(python, python, "-S", script, mode, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	return fdopen(out[0], "r");
}

/* Whether it told of itself. Not always: a thread that has just begun may not be in sys._current_frames() yet. */
static bool try_start(struct known *k, const char *python, const char *script, const char *mode)
{
	_cleanup_fclose_ FILE *out = NULL;
	char line[1024];
	bool ready = false;

	*k = (struct known){ .memory_fd = -1 };
	out = start(k, python, script, mode);
	assert_non_null(out);
	while (!ready && fgets(line, sizeof(line), out))
		ready = !parse_line(k, line);
	if (!ready)
		known_release(k);
	return ready;
}

void known_start(struct known *k, const char *python, const char *script, const char *mode)
{
	char path[64];
	bool ready = false;

	for (int i = 0; i < START_TRIES && !ready; i++)
		ready = try_start(k, python, script, mode);
	assert_true(ready);
	snprintf(path, sizeof(path), "/proc/%d/mem", k->pid);
	k->memory_fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(k->memory_fd >= 0);
	read_mappings(k);
	for (size_t i = 0; i < k->threads_n; i++)
		k->threads[i].futex = wait_asleep(k, &k->threads[i]);
}

void known_release(struct known *k)
{
	if (k->pid > 0) {
		kill(k->pid, SIGKILL);
		waitpid(k->pid, NULL, 0);
	}
	if (k->memory_fd >= 0)
		close(k->memory_fd);
	free(k->blocks);
	*k = (struct known){ .memory_fd = -1 };
}

/* ---- recorded ---- */

static struct known_block *block_at(const struct known *k, uint64_t address)
{
	for (size_t i = 0; i < k->blocks_n; i++)
		if (k->blocks[i].address == address)
			return &k->blocks[i];
	return NULL;
}

static struct known_block *block_add(struct known *k, uint64_t address)
{
	if (!k->blocks)
		k->blocks = calloc(KNOWN_BLOCKS_MAX, sizeof(*k->blocks));
	assert_true(k->blocks && k->blocks_n < KNOWN_BLOCKS_MAX);
	k->blocks[k->blocks_n].address = address;
	return &k->blocks[k->blocks_n++];
}

static void parse_facts(struct known *k, const char *line)
{
	struct elf_facts *f = &k->facts;

	assert_int_equal(sscanf(line, "facts %x %lx %lx %lx %lx %lx", &f->python_hexversion,
				&f->runtime_vaddr, &f->code_type_vaddr, &f->tls_key_vaddr,
				&f->thread_state_current_vaddr, &k->load_bias),
			 6);
	f->is_elf = f->has_python = true;
	f->libc = ELF_LIBC_GNU;
}

static void parse_memory(struct known *k, const char *line)
{
	struct known_block *b;
	uint64_t address;
	int at;

	assert_int_equal(sscanf(line, "memory %lx %n", &address, &at), 1);
	b = block_add(k, address);
	for (size_t i = 0; i < KNOWN_BLOCK_BYTES; i++)
		assert_int_equal(sscanf(line + at + 2 * i, "%2hhx", &b->bytes[i]), 1);
}

void known_load(struct known *k, const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[1024];

	*k = (struct known){ .memory_fd = -1 };
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "facts ", 6) == 0)
			parse_facts(k, line);
		else if (strncmp(line, "memory ", 7) == 0)
			parse_memory(k, line);
		else
			parse_line(k, line);
	}
	assert_true(k->threads_n && k->blocks_n);
}

static int by_address(const void *a, const void *b)
{
	const struct known_block *x = a, *y = b;

	return (x->address > y->address) - (x->address < y->address);
}

static void save_threads(const struct known *k, FILE *f)
{
	for (size_t i = 0; i < k->threads_n; i++) {
		const struct known_thread *t = &k->threads[i];

		fprintf(f, "thread %s 0 %lu %s %lu\n", t->name, t->fs_base, t->state_text,
			t->futex);
		for (size_t j = 0; j < t->frames_n; j++)
			fprintf(f, "frame %d %u %s\t%s\n", t->frames[j].ends_loop,
				t->frames[j].line, t->frames[j].name, t->frames[j].file);
	}
}

void known_save(const struct known *k, const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "we");

	assert_non_null(f);
	fprintf(f, "facts %x %lx %lx %lx %lx %lx\n", k->facts.python_hexversion,
		k->facts.runtime_vaddr, k->facts.code_type_vaddr, k->facts.tls_key_vaddr,
		k->facts.thread_state_current_vaddr, k->load_bias);
	save_threads(k, f);
	qsort(k->blocks, k->blocks_n, sizeof(*k->blocks), by_address);
	for (size_t i = 0; i < k->blocks_n; i++) {
		fprintf(f, "memory %lx ", k->blocks[i].address);
		for (size_t j = 0; j < KNOWN_BLOCK_BYTES; j++)
			fprintf(f, "%02x", k->blocks[i].bytes[j]);
		fputc('\n', f);
	}
}

/* ---- both ---- */

static int read_live(struct known *k, void *to, size_t size, uint64_t address)
{
	uint64_t first = address / KNOWN_BLOCK_BYTES * KNOWN_BLOCK_BYTES;

	if (pread(k->memory_fd, to, size, (off_t)address) != (ssize_t)size)
		return -EFAULT;
	for (uint64_t at = first; k->recording && at < address + size; at += KNOWN_BLOCK_BYTES) {
		uint8_t bytes[KNOWN_BLOCK_BYTES];

		if (!block_at(k, at) &&
		    pread(k->memory_fd, bytes, sizeof(bytes), (off_t)at) == sizeof(bytes))
			memcpy(block_add(k, at)->bytes, bytes, sizeof(bytes));
	}
	return 0;
}

int known_read(void *known, void *to, size_t size, uint64_t address)
{
	struct known *k = known;
	uint8_t *out = to;

	if (k->pid)
		return read_live(k, to, size, address);
	while (size > 0) {
		size_t at = address % KNOWN_BLOCK_BYTES;
		size_t n = size < KNOWN_BLOCK_BYTES - at ? size : KNOWN_BLOCK_BYTES - at;
		const struct known_block *b = block_at(k, address - at);

		if (!b)
			return -EFAULT;
		memcpy(out, b->bytes + at, n);
		out += n;
		address += n;
		size -= n;
	}
	return 0;
}

int known_input(struct known *k, const struct known_thread *t, struct walk_input *ret)
{
	const struct kymo_python_layout *layouts;
	int r;

	*ret = (struct walk_input){ .load_bias = k->load_bias,
				    .fs_base = t->fs_base,
				    .futex = t->futex,
				    .read = known_read,
				    .data = k };
	r = python_binary(&k->facts, &ret->binary);
	if (r < 0)
		return r;
	assert_true(ret->binary.layout < python_layouts(&layouts));
	ret->layout = layouts[ret->binary.layout];
	return 0;
}
