/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPython from outside: which layout an interpreter has (facts of a file -> plain tables for the kernel), and
 * what the kernel copied out of code objects -> names and lines. Nothing here touches a process.
 */
#ifndef KYMO_PYTHON_PYTHON_H
#define KYMO_PYTHON_PYTHON_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "elf/inspect.h"
#include "kymo/python.h"
#include "kymo/record.h"

/* The table of layouts: index -> row. The index is also the kernel map's. */
size_t python_layouts(const struct kymo_python_layout **ret);

/* Whether an interpreter's frames can be walked, or why not. */
enum python_support {
	PYTHON_SUPPORTED,
	PYTHON_VERSION_UNKNOWN, /* no layout for it */
	PYTHON_FREE_THREADED,	/* built without the lock */
	PYTHON_LIBC_UNKNOWN,	/* a C library that is neither glibc nor musl */
	PYTHON_LAYOUT_CHANGED, /* its own table of offsets says otherwise than ours of its version */
	PYTHON_SUPPORT_MAX,
};
enum python_support python_support(const struct elf_facts *facts);

/* Fills *ret from a file's facts. -ENOTSUP where it cannot be walked (say so once), -ENOENT when it is no interpreter. */
int python_binary(const struct elf_facts *facts, struct kymo_python_binary *ret);

/*
 * The line of an instruction: `instruction` as in struct kymo_frame, table as in KYMO_RECORD_CODE.
 * version 0x0306.. ; up to 3.9 co_lnotab (Objects/lnotab_notes.txt), 3.10 PEP 626 co_linetable, 3.11+ location table
 * (Objects/locations.md). The first line for -1, for what lies before the first instruction, and for entries
 * without a line. The table is hostile: bounded reads, bounded steps.
 */
uint32_t python_line(uint16_t version, const uint8_t *table, size_t table_size, uint32_t first_line,
		     int32_t instruction);

/* Characters as CPython stores them (kind 1, 2 or 4 bytes each) -> valid UTF-8, appended. */
int python_text(struct buf *out, const uint8_t *text, size_t size, unsigned kind);

/* Code objects that the kernel told of, by (pid, process start, address, generation). Bounded: the oldest go first. */
struct python_codes;
struct python_code {
	const char *name, *file; /* UTF-8 */
	uint32_t first_line;
	uint32_t function; /* the user's own id of it (merge_function); 0 at first: may be set */
};
int python_codes_new(size_t max, struct python_codes **ret);
void python_codes_free(struct python_codes *c);
int python_codes_add(struct python_codes *c, const struct kymo_code *head, const uint8_t *file,
		     const uint8_t *name, const uint8_t *table);
struct python_code *python_codes_find(struct python_codes *c, uint32_t pid,
				      uint64_t process_start_ns, uint64_t address,
				      uint32_t generation);
/* For a new profile: every code's `function` is 0 again. */
void python_codes_renew(struct python_codes *c);
uint32_t python_codes_line(struct python_code *code, int32_t instruction);
void python_codes_process_ended(struct python_codes *c, uint32_t pid, uint64_t process_start_ns);

/*
 * What threads are called by themselves: threading.Thread(name=...), as UTF-8. Bounded; a full one forgets all.
 */
struct python_thread_names;
int python_thread_names_new(size_t max, struct python_thread_names **ret);
void python_thread_names_free(struct python_thread_names *n); /* NULL is allowed */
int python_thread_names_add(struct python_thread_names *n, const struct kymo_thread_name *head,
			    const uint8_t *text);
/* "" = not known. Valid until the next add or ended. */
const char *python_thread_names_find(const struct python_thread_names *n, uint32_t tid,
				     uint64_t thread_start_ns);
void python_thread_names_ended(struct python_thread_names *n, uint32_t tid);

#endif
