/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a dump: what its sources share. Nobody else includes this. */
#ifndef KYMO_AGENT_DUMP_STATE_H
#define KYMO_AGENT_DUMP_STATE_H

#include "agent/dump.h"
#include "agent/files.h"
#include "agent/resolve.h"
#include "base/hmap.h"
#include "walk/walk.h"

/* What is known of files, for our own walk. */
struct dump_tables {
	struct hmap rules;	   /* struct kymo_file_key -> struct unwind_table *, owned */
	struct hmap pythons;	   /* struct kymo_file_key -> struct kymo_python_binary */
	struct unwind_table *vdso; /* NULL = none */
};

struct dumper {
	const struct dump_options *options;
	struct kern *kern;
	struct proc_table *procs;
	struct worker *worker;
	struct files *files;
	struct python_codes *codes;
	struct python_thread_names *thread_names;
	struct kallsyms *kallsyms; /* NULL: hidden */
	struct merge *merge;
	struct resolve *resolve;
	struct files_observer observer;
	struct dump_tables tables;
	struct hmap samples; /* uint32_t tid -> void *: the newest record of one that ran; owned */
	struct hmap rows;    /* uint32_t thread of merge -> struct row_owner */
	struct dump *dump;
	int error; /* of a handler */
	bool told; /* why it failed */
};

/* Whose a row of the tick is. */
struct row_owner {
	uint32_t process, thread; /* indices */
};

/* dump_tables.c */
void dump_tables_init(struct dump_tables *t);
void dump_tables_release(struct dump_tables *t);
/* For files_observe. */
void dump_tables_rules(void *data, const struct kymo_file_key *file, struct unwind_table *t);
void dump_tables_python(void *data, const struct kymo_file_key *file,
			const struct kymo_python_binary *binary);
/*
 * What a walk of the process needs; all but its memory. Malloced mappings, which the caller frees. 0 or -ENOMEM.
 */
int dump_tables_process(const struct dump_tables *t, const struct proc_process *p,
			struct walk_process *ret, struct walk_mapping **ret_mappings);

/* dump_server.c: walks in a process of its own, which may hang on the memory that it reads, or die of it. */
struct dump_server {
	int fd; /* -1 = none; a packet for each record */
	int pid;
	void *record;
	bool hangs;
};
#define DUMP_SERVER_NONE ((struct dump_server){ .fd = -1 })
/* p without `read`: its memory is read through memory_fd. 0 or -errno. */
int dump_server_start(struct dump_server *s, const struct walk_process *p, int memory_fd);
void dump_server_stop(struct dump_server *s);
/* Asks for some walks at once: at most DUMP_BATCH. 0 or -errno. */
#define DUMP_BATCH 32
int dump_server_ask(struct dump_server *s, const struct kymo_standing *t);
/*
 * The next answer, in the order of asking: codes and names are told to d, the sample is malloced. 0; -ETIMEDOUT: it hangs;
 * -EPIPE: it died; -ENOMEM.
 */
int dump_server_answer(struct dump_server *s, struct dumper *d, void **ret_sample);

/* dump_take.c: all threads of the process, each where it stood or ran, into its frames (d->merge). 0; -ESRCH: it has ended; -ENODATA: the kernel's; -EACCES, -errno. */
int dump_take(struct dumper *d, uint32_t pid);
/* Takes what the clock has met. 0 or -errno. */
int dump_drain(struct dumper *d);

/* dump_names.c: closes the tick, waits for names and fills in the frames of all threads. 0 or -errno. */
int dump_name(struct dumper *d);
void dump_names_free(struct dump_names *n);

#endif
