/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes of tests/fixtures/python/known.py, which says what its stacks are: alive, or recorded as the
 * pieces of memory that a walk reads. A recording is text: "facts ...", then known.py's own lines
 * ("thread", "frame"), then "memory ADDRESS BYTES".
 */
#ifndef KYMO_TEST_PYTHON_KNOWN_H
#define KYMO_TEST_PYTHON_KNOWN_H

#include <stdio.h>
#include <sys/types.h>

#include "elf/inspect.h"
#include "python/python.h"
#include "unit/support/python_walk.h"

#define KNOWN_THREADS_MAX 12
#define KNOWN_FRAMES_MAX  32
#define KNOWN_BLOCK_BYTES 32
#define KNOWN_BLOCKS_MAX  4096

struct known_frame {
	bool ends_loop;
	unsigned line;
	char name[128], file[256];
};

struct known_thread {
	char name[16];
	int tid; /* as the kernel shows it in /proc */
	uint64_t fs_base, futex;
	unsigned state; /* enum kymo_state */
	char state_text[32];
	struct known_frame frames[KNOWN_FRAMES_MAX];
	size_t frames_n;
};

/* The memory that was read, in aligned blocks. */
struct known_block {
	uint64_t address;
	uint8_t bytes[KNOWN_BLOCK_BYTES];
};

struct known {
	pid_t pid; /* 0 = recorded */
	int memory_fd;
	struct elf_facts facts;
	uint64_t load_bias;
	struct known_thread threads[KNOWN_THREADS_MAX];
	size_t threads_n;
	struct known_block *blocks;
	size_t blocks_n;
	bool recording; /* alive: blocks are kept */
};

/* Starts a Python with known.py ("plain" or "gc") and waits until its stacks stand. */
void known_start(struct known *k, const char *python, const char *script, const char *mode);
void known_load(struct known *k, const char *path);
void known_save(const struct known *k, const char *path);
void known_release(struct known *k); /* ends the process, too */

/* Where a walk of that thread starts; -ENOTSUP as from python_binary. */
int known_input(struct known *k, const struct known_thread *t, struct walk_input *ret);
int known_read(void *known, void *to, size_t size, uint64_t address);
/* Fails the test unless the walk of every thread is what known.py says, code objects included. */
void known_check(struct known *k);
void known_check_thread(struct known *k, const struct known_thread *t);

#endif
