/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of files: what its sources share. Nobody else includes this. */
#ifndef KYMO_AGENT_FILES_STATE_H
#define KYMO_AGENT_FILES_STATE_H

#include "agent/files.h"
#include "agent/frame_list.h"
#include "base/hmap.h"

enum file_state { FILE_NEW, FILE_ASKED, FILE_KNOWN };

/* Frames are named in the profile that is written, and for a while in the one before it. */
enum { CURRENT, RETIRED, PROFILES };

struct file {
	uint64_t inode;
	uint64_t generation; /* of the inode; 0 = not told yet */
	uint32_t successor;  /* how many files had the inode before it */
	uint32_t dev;
	enum file_state state;
	uint32_t binary[PROFILES]; /* merge's id; 0 until a sample hits it */
	uint32_t pid;		   /* the last process seen mapping it */
	uint64_t start, end;
	char *path;
	struct build_id build_id;
	struct frame_list unnamed[PROFILES]; /* frames that wait to be named */
	bool superseded;     /* its inode is another file's by now: it cannot be read any more */
	uint64_t version;    /* of its content; 0 = not known yet */
	uint64_t checked_ns; /* when its version was asked for last */
	uint32_t changes;    /* how often it was written over */
	bool checking;	     /* asked, not answered */
	bool check_wanted;   /* somebody mapped it since it was asked */
	bool is_elf, is_python;
	bool is_users; /* not root's */
	bool rows_gone; /* the kernel had its rules; nobody mapped it, and others needed their place */
	uint32_t rows_bytes;   /* that its rules take in the kernel; 0 = it has none */
	uint64_t idle_ns;      /* since when nobody maps it; 0 = somebody may */
	bool sampled;	       /* a sample hit it */
	uint32_t probes;       /* KERN_SOURCE of each that it has the probes of */
	bool queued;	       /* stands in the list of files with unnamed frames */
	bool named;	       /* it has been asked for names */
	uint64_t names_due_ns; /* when its queued frames are asked for */
	struct frame_list
		unlined[PROFILES]; /* that have been asked for names, and wait for lines */
	uint64_t lines_due_ns;
	bool lined;    /* it has been asked for lines */
	bool no_lines; /* it has no DWARF, or none that can be read */
};

/* A naming job that is out: whose frames the answer's names belong to. */
struct name_job {
	uint64_t cookie;
	int profile;   /* CURRENT or RETIRED */
	uint32_t file; /* index */
	struct merge_unnamed *frames;
	size_t frames_n;
	bool used;
};

struct files {
	struct kern *kern;
	struct merge *merge;
	struct merge *retired; /* ids of the profile before; NULL = it has its names */
	struct worker *worker;
	struct probes *probes;
	const struct files_observer *observer; /* NULL: nobody */
	struct jit *jit, *jit_retired;
	struct hmap by_key;    /* struct kymo_file_key -> uint32_t index into files */
	struct hmap by_binary; /* binary id -> index */
	struct file *files;
	size_t files_n, files_cap;
	size_t inspect_next;  /* files before it have been asked for */
	size_t inspect_out;   /* asked, not answered */
	size_t checks_wanted; /* files that have it set, at most */
	/* files whose tables are to be made; those before unwind_next have been asked for */
	uint32_t *to_unwind;
	size_t to_unwind_n, to_unwind_cap;
	size_t unwind_next, unwind_out;
	size_t unwind_check;  /* the file that is to be looked for next */
	uint64_t idle_bytes;  /* of the rules of files that nobody maps */
	uint64_t users_bytes; /* of those of files that are not root's */
	struct name_job *jobs;
	size_t jobs_n, jobs_cap, jobs_out;
	uint64_t next_cookie;
	uint32_t *to_name; /* indexes of files with unnamed frames */
	size_t to_name_n, to_name_cap;
	uint32_t *to_line; /* indexes of files with frames without lines */
	size_t to_line_n, to_line_cap, lines_out;
	int64_t lines_credit_ns; /* CPU that the parser may use for lines now */
	uint64_t lines_refilled_ns;
	bool without_lines;
	bool finishing; /* nothing more will come: no waiting for more of a file's frames */
	/* files whose build-id came after their binary; the first `closed` are of closed ticks */
	uint32_t *late;
	size_t late_n, late_cap, late_closed;
	uint32_t *late_retired;
	size_t late_retired_n, late_retired_cap;
	struct files_stats stats;
};

/* The file that took over the inode, or was written over the one before. NULL: no memory, or at the bound. */
struct file *files_succeed(struct files *f, const struct proc_mapping *m, uint32_t *index);

/* ---- files_change.c ---- */

/* Somebody maps a file that is known: it may have been written over since. */
void files_change_seen(struct files *f, struct file *file);
/* Once per tick: those that were mapped too soon after they had been looked at. */
void files_change_tick(struct files *f);
/*
 * An answer is of that version. True: of another than what is known, so that it says nothing of the file's
 * frames; what is seen of the file from now on is another binary's. May move f->files.
 */
bool files_change_told(struct files *f, uint32_t index, uint64_t version);
/* Whether the answer to an inspection is that of such a look alone: what it says is known. */
bool files_change_checked(struct files *f, const struct worker_reply *reply);

/* ---- files_unwind.c ---- */

/* The file's rules are to be made. 0 or -ENOMEM. */
int files_unwind_ask(struct files *f, uint32_t index);
void files_unwind_submit(struct files *f);
/* Its table may be taken. */
int files_unwind_take(struct files *f, struct worker_reply *reply);
/* Somebody maps it: what was dropped is asked for once more. */
void files_unwind_seen(struct files *f, struct file *file);
/* Its inode is another file's by now. */
void files_unwind_superseded(struct files *f, struct file *file);

struct worker_file files_reach(const struct file *file);
void name_job_release(struct name_job *job);
/* A job about the last frames of the file's list. 1 when it went out, 0 when the worker is full, -ENOMEM. */
int files_submit_job(struct files *f, const struct file *file, enum worker_job_kind kind,
		     int profile, struct frame_list *list, size_t max);

/* files_lines.c: the job's frames have been asked for names, and wait for lines. 0 or -ENOMEM. */
int files_queue_lines(struct files *f, const struct name_job *job);
void files_submit_lines(struct files *f);
/* An answer came, for which the parser took so long. */
void files_lines_done(struct files *f, uint64_t parser_cpu_ns);
/* Moves what merge has of frames without a name to their files. 0 or -ENOMEM. */
int files_take_unnamed(struct files *f);
/* The retired profile is still to get the file's build-id. 0 or -ENOMEM. */
int files_late_retired_add(struct files *f, uint32_t index);

#endif
