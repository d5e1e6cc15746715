/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The records that the kernel side writes into the ring buffer. Fixed width,
 * explicit padding, sizes asserted on both sides; every record is a multiple of
 * 8 bytes and starts with kymo_record_head. Times are CLOCK_MONOTONIC in ns
 * (bpf_ktime_get_ns). A reader skips types it does not know by head.size.
 */
#ifndef KYMO_RECORD_H
#define KYMO_RECORD_H

#include "kymo/types.h"

#define KYMO_COMM_SIZE	       16 /* TASK_COMM_LEN, include/linux/sched.h */
#define KYMO_KERNEL_FRAMES_MAX 64
#define KYMO_USER_FRAMES_MAX   1024 /* native and Python together */
#define KYMO_CODE_NAME_MAX     256  /* bytes of a code's qualified name, with its NUL */
#define KYMO_CODE_FILE_MAX     512
#define KYMO_LINE_TABLE_MAX    16384
#define KYMO_ARGS_MAX	       1024 /* bytes of a process's arguments */
#define KYMO_THREAD_NAME_MAX   256  /* bytes of a thread's name as CPython stores them */

enum kymo_record_type {
	KYMO_RECORD_SAMPLE = 1,
	KYMO_RECORD_CODE = 2,	   /* a Python code object, at first sight */
	KYMO_RECORD_TASK = 3,	   /* one thread's exact counters: the sweep (iterator output) */
	KYMO_RECORD_END = 4,	   /* a dead process's final counters */
	KYMO_RECORD_OOM = 5,	   /* a victim of the OOM killer */
	KYMO_RECORD_EXEC = 6,	   /* a program was executed, with its arguments */
	KYMO_RECORD_THREAD = 7,	   /* the name that a Python thread has of its own */
	KYMO_RECORD_STANDING = 8,  /* where a thread stands now (iterator output) */
	KYMO_RECORD_WAITED = 9,	   /* how long what a sample of source gil or held began took */
	KYMO_RECORD_REPLACED = 10, /* a process's counters when another program took its place */
	KYMO_RECORD_MAX,
};

struct kymo_record_head {
	__u16 type; /* enum kymo_record_type */
	__u16 flags;
	__u32 size; /* bytes, head included */
	__u64 time_ns;
};
static_assert(sizeof(struct kymo_record_head) == 16, "layout");

/*
 * What the kernel accounts to a thread and its memory map. All are totals since
 * the thread's start (or gauges), never changes.
 * task_struct: se.sum_exec_runtime, min_flt, maj_flt, nvcsw, nivcsw, ioac (include/linux/sched.h);
 * mm_struct: rss_stat (include/linux/mm_types.h).
 */
struct kymo_counters {
	__u64 cpu_ns;	       /* thread: sum_exec_runtime */
	__s64 rss_anon_pages;  /* memory map: MM_ANONPAGES; gauges, -1 where the task has no map */
	__s64 rss_file_pages;  /* MM_FILEPAGES */
	__s64 rss_shmem_pages; /* MM_SHMEMPAGES */
	__s64 swap_pages;      /* MM_SWAPENTS */
	__u64 minor_faults;
	__u64 major_faults;
	__u64 read_bytes;  /* storage: ioac.read_bytes (0 where TASK_IO_ACCOUNTING is off) */
	__u64 write_bytes; /* storage: ioac.write_bytes */
	__u64 voluntary_switches;
	__u64 involuntary_switches;
};
static_assert(sizeof(struct kymo_counters) == 88, "layout");

struct kymo_who {
	__u32 pid; /* thread group id in the root pid namespace */
	__u32 tid;
	__u64 process_start_ns; /* group leader's start_boottime: with pid, one process for good */
	__u64 thread_start_ns;	/* start_boottime */
	__u64 cgroup_id;	/* v2 id, 0 where unknown */
	char comm[KYMO_COMM_SIZE];
};
static_assert(sizeof(struct kymo_who) == 48, "layout");

/* What made the sample. */
enum kymo_source {
	KYMO_SOURCE_CPU = 1,   /* timer; weight = ns of CPU */
	KYMO_SOURCE_FAULT = 2, /* page faults; weight = bytes */
	KYMO_SOURCE_IO = 3,    /* blocks submitted; weight = bytes */
	KYMO_SOURCE_GC = 4,    /* a collection of an interpreter; weight = ns */
	KYMO_SOURCE_IMPORT =
		5, /* a module's first import; weight = ns, less those of imports within it */
	KYMO_SOURCE_GIL = 6,  /* a sleep while waiting for the interpreter's lock; weight = ns */
	KYMO_SOURCE_HELD = 7, /* off the CPU with the interpreter's lock; weight = ns */
	KYMO_SOURCE_MAX,
};

/* For tables by source on the kernel side, whose index must have a bound that the verifier sees. */
#define KYMO_SOURCE_SLOTS 8
#define KYMO_SOURCE_MASK  (KYMO_SOURCE_SLOTS - 1)
static_assert(KYMO_SOURCE_MAX <= KYMO_SOURCE_SLOTS, "a source without a slot");

/* Bits of a sample's state; part of a row's key. */
enum kymo_state {
	KYMO_STATE_KERNEL = 1 << 0, /* the interruption hit kernel mode */
	KYMO_STATE_GIL_HOLDING = 1 << 1,
	KYMO_STATE_GIL_WAITING = 1 << 2,
	KYMO_STATE_PYTHON = 1 << 3,   /* the process is a known interpreter */
	KYMO_STATE_IN_GC = 1 << 4,    /* the thread collects: known while its probes are attached */
	KYMO_STATE_IO_WRITE = 1 << 5, /* source io: a write (else a read) */
	KYMO_STATE_NO_MM = 1 << 6,    /* no memory map: kernel thread */
	KYMO_STATE_EXECVE = 1 << 7,   /* inside execve: no user stack */
};

enum kymo_frame_kind {
	KYMO_FRAME_NATIVE = 1,
	KYMO_FRAME_PYTHON = 2,
};

/* One level of the user stack, leaf first. */
struct kymo_frame {
	__u64 address; /* native: the pc in the process (return addresses are not reduced by one);
			     python: address of the code object */
	__u32 generation; /* python: with (process, address) names a KYMO_RECORD_CODE for good; native: 0 */
	__u32 kind : 8;	 /* enum kymo_frame_kind */
	__u32 flags : 8; /* enum kymo_frame_flag */
	__u32 unused : 16;
	__s32 instruction; /* python: as f_lasti or (instr - co_code_adaptive) in bytes; -1 before the first */
	__u32 pad;
};
static_assert(sizeof(struct kymo_frame) == 24, "layout");

enum kymo_frame_flag {
	KYMO_FRAME_RETURN_ADDRESS = 1 << 0, /* native: look up pc - 1 */
	KYMO_FRAME_BY_FP = 1 << 1,	    /* native: found by a frame pointer, not by a rule */
};

/* Why the user stack ended there: numbered, counted, shown. */
enum kymo_end {
	KYMO_END_NONE = 0,	     /* no user stack asked for or possible (no memory map) */
	KYMO_END_WHOLE = 1,	     /* a true end */
	KYMO_END_FP_ZERO = 2,	     /* frame pointer chain ended in 0: an end by convention only */
	KYMO_END_FP_BROKEN = 3,	     /* frame pointer not above the last one, or unaligned */
	KYMO_END_UNREADABLE = 4,     /* stack memory could not be read */
	KYMO_END_NO_RULE = 5,	     /* neither a rule nor a frame pointer that can be trusted */
	KYMO_END_NOT_EXECUTABLE = 6, /* return address outside executable mappings */
	KYMO_END_TOO_DEEP = 7,	     /* KYMO_USER_FRAMES_MAX */
	KYMO_END_EXECVE = 8,	     /* inside execve, the old stack is gone */
	KYMO_END_PYTHON_TORN = 9,    /* Python frames were being changed at that instant */
	KYMO_END_PYTHON_UNREADABLE = 10,
	KYMO_END_MAX,
};

enum kymo_sample_flag {
	KYMO_SAMPLE_OF_OOM =
		1 << 0, /* no sample: the stack of whose allocation the last KYMO_RECORD_OOM of
					its thread tells; stands for nothing */
	KYMO_SAMPLE_BEGINS =
		1 << 1, /* sources gil and held: a KYMO_RECORD_WAITED will tell its end */
};

/*
 * KYMO_RECORD_SAMPLE, head.flags of kymo_sample_flag. Behind the struct: kernel_frames x __u64 (addresses, leaf
 * first), then user_frames x struct kymo_frame, then probe_bytes.
 */
struct kymo_sample {
	struct kymo_record_head head;
	struct kymo_who who;
	struct kymo_counters counters;
	__u64 weight; /* in the source's unit */
	/* io: device number (dev_t as the kernel's); of a known interpreter: the address of its lock; else 0 */
	__u64 aux;
	__u64 began_ns; /* gil, held: time_ns is its end (unless it BEGINS); else 0 */
	__u32 cpu;
	__u16 source; /* enum kymo_source */
	__u16 state;  /* enum kymo_state bits */
	__u16 end;    /* enum kymo_end */
	__u16 kernel_frames;
	__u16 user_frames;
	__u16 probe_bytes; /* sizeof(struct kymo_probe), which then stands behind the frames; or 0 */
};
static_assert(sizeof(struct kymo_sample) == 192, "layout");

#define KYMO_PROBE_NAME_MAX 128

/* What a sample of source gc or import knows beside its stack. */
struct kymo_probe {
	__u64 start_ns;
	__u64 duration_ns; /* with imports within it, of which the weight is free */
	__s64 value; /* gc: objects collected, with those that could not be; import: 1 = found */
	__s64 rss_before_bytes, rss_after_bytes; /* of the process, exact */
	__s32 generation; /* gc: -1 where the probe's argument could not be read */
	__u32 depth;	  /* import: how many others were going on in the thread */
	__u8 value_known;
	__u8 pad[7];
	char name
		[KYMO_PROBE_NAME_MAX]; /* import: with its NUL, cut; "" where it could not be read */
};
static_assert(sizeof(struct kymo_probe) == 184, "layout");

enum kymo_code_flag {
	KYMO_CODE_INCOMPLETE =
		1
		<< 0, /* a part could not be read (not paged in yet): it is empty, another copy follows */
};

/*
 * KYMO_RECORD_CODE, head.flags of kymo_code_flag. Behind the struct, each padded to a multiple of 8 bytes with zeroes:
 * file_size bytes of file name, name_size bytes of the (qualified, 3.11+) name, both as CPython
 * stores them (char kind 1 = Latin-1 or ASCII, 2 = UCS-2, 4 = UCS-4, little endian; cut at
 * KYMO_CODE_*_MAX), table_size bytes of line table.
 */
struct kymo_code {
	struct kymo_record_head head;
	__u64 process_start_ns;
	__u64 address;
	__u32 pid;
	__u32 generation;
	__u32 first_line;
	__u16 version;	/* interpreter, 0x030b = 3.11: how to decode the table */
	__u8 file_kind; /* bytes per character: 1, 2, 4 */
	__u8 name_kind;
	__u16 file_size;
	__u16 name_size;
	__u32 table_size;
	__u32 pad[2];
};
static_assert(sizeof(struct kymo_code) == 64, "layout");

/*
 * KYMO_RECORD_TASK, KYMO_RECORD_END, KYMO_RECORD_REPLACED: exact counters. TASK's are one thread's, the others' the
 * whole process's; REPLACED's are without memory, which went with the program before.
 */
struct kymo_task {
	struct kymo_record_head head;
	struct kymo_who who;
	struct kymo_counters counters;
	__u32 parent_pid;
	__s32 exit_code; /* END: as wait(2) encodes it */
};
static_assert(sizeof(struct kymo_task) == 160, "layout");

#define KYMO_CGROUP_LEVELS    8
#define KYMO_CGROUP_NAME_SIZE 96

/*
 * KYMO_RECORD_OOM: the process that the OOM killer chose. Before 6.8 the kernel tells the victim's pid
 * alone: the rest is known where the victim itself was allocating (victim_known), else zeroes.
 */
struct kymo_oom {
	struct kymo_record_head head;
	struct kymo_who victim;
	__s64 rss_anon_pages;
	__s64 rss_file_pages;
	__s64 rss_shmem_pages;
	__s64 swap_pages;
	__u64 total_vm_pages;
	__u32 allocator_pid; /* who needed memory */
	__u32 allocator_tid;
	char allocator_comm[KYMO_COMM_SIZE];
	__s32 oom_score_adj;
	__u32 victim_known;
	/* Of the cgroup whose memory it was charged to, leaf first, up to an empty one (the root's); cut off
	   beyond the last level. */
	char cgroup[KYMO_CGROUP_LEVELS][KYMO_CGROUP_NAME_SIZE];
};
static_assert(sizeof(struct kymo_oom) == 904, "layout");

/*
 * KYMO_RECORD_EXEC: told when the new program is in place. Behind the struct, padded to a multiple of 8 bytes with
 * zeroes: args_size bytes of arguments, each ended by a NUL (cut at KYMO_ARGS_MAX).
 */
struct kymo_exec {
	struct kymo_record_head head;
	__u64 process_start_ns;
	__u32 pid;
	__u32 uid; /* of the new program: a set-user-id bit has had its effect */
	__u32 args_size;
	__u32 pad;
};
static_assert(sizeof(struct kymo_exec) == 40, "layout");

/*
 * KYMO_RECORD_THREAD: threading.Thread's name, told at first sight and when it has changed. Behind the struct, padded
 * to a multiple of 8 bytes with zeroes: name_size bytes as CPython stores them (struct kymo_code), cut at
 * KYMO_THREAD_NAME_MAX.
 */
struct kymo_thread_name {
	struct kymo_record_head head;
	struct kymo_who who;
	__u16 name_size;
	__u8 name_kind;
	__u8 pad[5];
};
static_assert(sizeof(struct kymo_thread_name) == 72, "layout");

enum kymo_standing_flag {
	KYMO_STANDING_ON_CPU = 1 << 0, /* it runs: neither registers nor kernel frames can be had */
	KYMO_STANDING_NO_MM = 1 << 1,  /* no memory map: it has exited, or is the kernel's */
	KYMO_STANDING_KERNEL = 1 << 2, /* the kernel's own, or one that works for it */
	KYMO_STANDING_32_BIT = 1 << 3,
	KYMO_STANDING_EXECVE = 1 << 4, /* inside execve: the old stack is gone */
};

#define KYMO_SAVED_REGISTERS 21

/*
 * KYMO_RECORD_STANDING: one thread as it stands. It has stood still between two of them, memory that is its own
 * included, where neither says ON_CPU and `switches` is the same: these are counted when it leaves the CPU.
 * Behind the struct: kernel_frames x __u64, leaf first.
 */
struct kymo_standing {
	struct kymo_record_head head;
	struct kymo_who who;
	__u64 switches; /* of its own accord or not; read before all that follows */
	__u64 registers[KYMO_SAVED_REGISTERS]; /* struct pt_regs: where it entered the kernel */
	__u64 fs_base;
	__u32 state; /* task_struct.__state */
	__u16 flags; /* enum kymo_standing_flag; ON_CPU is read last */
	__u16 kernel_frames;
};
static_assert(sizeof(struct kymo_standing) == 256, "layout");

/*
 * KYMO_RECORD_WAITED, at its end. A sample of source gil or held is written at the beginning, with so many as its weight
 * as it stands for; this tells the rest.
 */
struct kymo_waited {
	struct kymo_record_head head;
	__u64 thread_start_ns;
	__u64 began_ns; /* as the sample's */
	__u64 duration_ns;
	__u32 tid;
	__u32 pad;
};
static_assert(sizeof(struct kymo_waited) == 48, "layout");

#endif
