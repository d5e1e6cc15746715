/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of other users are opened by one helper process and parsed by another, which has
 * no privileges. Both are restarted when they die or hang; the file that did it is
 * remembered and not tried again. Jobs are asynchronous: submitted by one thread,
 * answered on an internal thread's queue, fetched by the submitter. Nothing here ever
 * blocks the submitter. Jobs of INSPECT and UNWIND, for which stacks wait, come before others, and with a
 * share of a busy host like anybody's; names and lines have a tenth of it.
 */
#ifndef KYMO_WORKER_WORKER_H
#define KYMO_WORKER_WORKER_H

#include <stddef.h>
#include <stdint.h>

#include "elf/inspect.h" /* struct elf_facts: build-id, interpreter facts */
#include "model/frame.h"
#include "unwind/unwind.h"

struct worker;

/* How to reach a file: through a process that maps it, else by its path in our own mount namespace.
 * What was opened must have this device and inode (checked by fstat; where the kernel's s_dev and
 * stat's differ, as on btrfs and overlayfs, the inode and the path decide). */
struct worker_file {
	uint64_t inode;
	uint32_t dev;
	uint32_t pid;		   /* 0 = no process known */
	uint64_t start, end;	   /* of a mapping in it: /proc/PID/map_files/START-END */
	uint64_t process_start_ns; /* MAP: CLOCK_BOOTTIME; the pid may be another's by now */
	const char *path;	   /* copied */
};

enum worker_job_kind {
	WORKER_INSPECT = 1, /* build-id and interpreter facts */
	WORKER_NAME = 2,    /* names for file offsets */
	WORKER_UNWIND = 3,  /* the rules of its .eh_frame */
	WORKER_LINES = 4,   /* names with source lines and inlined functions, from DWARF */
	WORKER_MAP =
		5, /* names for addresses, from the process's perf map: needs pid and start_ns alone */
};

struct worker_inline {
	const char *name; /* demangled, owned by the reply */
	const char *file; /* source file of the function, "" = unknown */
	uint32_t line;	  /* that ran or called; 0 = unknown */
	uint32_t first_line;
};

struct worker_name {
	uint64_t offset;
	const char *name;    /* demangled, owned by the reply; "" = no symbol covers it */
	const char *file;    /* source file of the function, "" = unknown */
	uint32_t line;	     /* that ran or called; 0 = unknown */
	uint32_t first_line; /* where the function starts; 0 = unknown */
	/* LINES: what is inlined there, the outermost first: indices into the reply's inlines */
	size_t inlines_first, inlines_n;
};

struct worker_reply {
	enum worker_job_kind kind;
	uint64_t cookie;
	int error; /* 0; -ENOENT file gone, -ESTALE another file by now, -EINVAL not a regular file, -EBADMSG not
		    * parsable, UNWIND and LINES: -ENOENT also where the file has no rules or no DWARF, MAP: -EPERM neither root's nor the process's, -EFBIG too large, -ENOTSUP 32-bit or big-endian, -ETIMEDOUT, -EPIPE killed the worker, -errno */
	struct elf_facts facts;	   /* INSPECT */
	struct worker_name *names; /* NAME, LINES, MAP: one per offset asked, same order */
	size_t names_n;
	struct worker_inline *inlines; /* LINES */
	size_t inlines_n;
	struct unwind_table *table; /* UNWIND: sound; owned by the reply */
	uint64_t parser_cpu_ns;	    /* by the parser's own word */
	uint64_t
		version; /* of the file's content, by size and time: another one when it was written over; 0 = not known */
	uint32_t owner; /* UNWIND: of the file: its user id */
};

/*
 * Starts the thread and its two processes. Answers of INSPECT and UNWIND are kept on disk in the folder `cache`, root's alone, where
 * the file's system can be believed; NULL, or one that cannot be had or used: they are not. 0 or -errno.
 */
int worker_new(const char *cache, struct worker **ret);
void worker_free(struct worker *w); /* ends the processes; NULL is allowed */
/* 0, -ENOSPC when the queue is full (try again later), -ENOMEM. The offsets are copied. */
int worker_submit(struct worker *w, enum worker_job_kind kind, const struct worker_file *file,
		  const uint64_t *offsets, size_t offsets_n, uint64_t cookie);
/* The next finished job, or NULL. Caller frees with worker_reply_free. */
struct worker_reply *worker_fetch(struct worker *w);
void worker_reply_free(struct worker_reply *r);
size_t worker_pending(struct worker *w); /* submitted, not yet fetched */
int worker_fd(struct worker *w);	 /* an eventfd, readable when a reply waits */

/*
 * What `kymo` runs as when it is started as one of the two helper processes (cmd/main
 * dispatches the hidden subcommands): speak on descriptor 3 until it closes. Return exit codes.
 */
int worker_parser_main(void);
int worker_opener_main(void);

#endif
