/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The working memory of one sample. A BPF stack has 512 bytes and a global function takes no
 * pointer into a map, so all that the walkers share lies here and they pass the slot's number: one
 * slot per CPU and context, since a timer can interrupt another program of ours on the same CPU.
 */
#ifndef KYMO_BPF_SCRATCH_H
#define KYMO_BPF_SCRATCH_H

#include "kymo/config.h"
#include "kymo/python.h"
#include "kymo/record.h"
#include "kymo/unwind.h"

/* Who walks: each may interrupt those behind it, never itself. */
enum context {
	CONTEXT_TIMER = 0,
	CONTEXT_SWITCH = 1,
	CONTEXT_TRACEPOINT = 2,
	CONTEXT_UPROBE = 3,
	CONTEXT_FAULT = 4,
	CONTEXT_MAX,
};

/* One mapping of the memory map of the current task, from the kernel's own tree. */
struct mapping {
	__u64 start, end; /* end = 0: none */
	__u64 pgoff_bytes;
	__u64 flags;			/* VM_* */
	__u64 file;			/* address of the struct file; 0 = anonymous */
	struct kymo_unwind_file tables; /* of that file; without pages where there are none */
};

/*
 * Mappings found before, by memory map: they hold until that map changes, which its sequence tells
 * (lib/mapping.bpf.h). A stack goes back and forth among a few.
 */
#define MAPPING_SETS	 16
#define MAPPINGS_PER_SET 8

struct mapping_set {
	__u64 mm, start_stack, process_start_ns; /* identity of the memory map */
	__u64 sequence;
	__u32 generation; /* unwind_generation at that time */
	__u32 added;	  /* so many times; the next takes the place added % MAPPINGS_PER_SET */
	struct mapping mappings[MAPPINGS_PER_SET];
};

/* A map's value of its own beside the scratch: on a CPU none is larger than 32 KiB. */
struct mapping_cache {
	struct mapping_set sets[MAPPING_SETS];
};

#define MAPLE_NODE_BYTES 256

/* The maple node being looked at, and what the search knows of its range. */
struct maple_search {
	__u64 node[MAPLE_NODE_BYTES / 8];
	__u64 first; /* the lowest address of the range that was found, also where it is a gap */
	__u64 leaf_first; /* the lowest address of its leaf */
	__u64 entry;	  /* the range's entry: a mapping's address or 0 */
};

#define STACK_WINDOW_BYTES 4096
#define STACK_WINDOW_FIRST 1024
#define STACK_WINDOW_BELOW 64
#define NATIVE_REGISTERS   16

struct native_walk {
	__u64 ip;
	__u64 registers[NATIVE_REGISTERS]; /* by DWARF's numbers */
	__u64 fs_base;			   /* of the thread: pthread_self on glibc */
	__u32 known; /* a bit per register that holds what it held in this frame */
	__u8 leaf;   /* the frame is the interrupted one */
	__u8 exact;  /* ip was interrupted here; else it is a return address */
	__u8 by_fp;  /* the frame was found by a frame pointer */
	__u8 pad;
	__u32 windows;			      /* read so far */
	__u32 window_bytes;		      /* a word may begin before it; 0 = nothing read yet */
	__u64 window_start;		      /* address of window[0] */
	__u8 window[STACK_WINDOW_BYTES + 64]; /* a masked offset plus a whole read stays inside */
};

/* What is known of the process's interpreter (value of the map python_processes). */
struct python_process {
	__u64 mm, start_stack; /* identity of the memory map: an exec makes another */
	__u64 load_bias;       /* of the interpreter's file: run-time address - vaddr */
	__u64 exec_pages;      /* mm->exec_vm at that time: grows by a dlopen */
	__u64 checked_ns;
	struct kymo_file_key file; /* key of python_binaries */
	__u32 generation;	   /* python_generation at that time */
	__u32 found;
	__u32 searches; /* in vain, in this memory map */
	__u32 pad;
};

/*
 * State of the Python walk over the samples's frames: written and read by walk_python.bpf.h alone
 * but for `active` and `done`, which the mixed walk (walk.bpf.h) reads.
 */
/* A code object that was identified in this sample: the frames keep it where it is. */
struct python_seen {
	__u64 code;
	__u32 generation;
	__u32 sample; /* of which it is: python_walk.sample */
};

#define PYTHON_SEEN_MAX 16

/* Of an object whose attribute is looked for: its keys, in the order in which they were set, and the values. */
struct python_attributes {
	__u64 entries;
	__u64 values; /* 0: beside the keys */
	__u32 n, entry_bytes, key_at;
	__u32 pad;
};

struct python_walk {
	__u64 futex; /* what the thread waits on in futex(2), else 0: set with the registers */
	__u64 thread_state;
	__u64 gil;	   /* the address of the lock; 0 = not known */
	__u64 frame;	   /* the next frame to emit; 0 = none left */
	__u64 at;	   /* the one that is being emitted */
	__u64 code;	   /* its code object */
	__u32 generation;  /* of that code object */
	__u32 active;	   /* python_begin found a thread state with frames */
	__u32 done;	   /* no frames are left */
	__u32 spare_loops; /* eval loops on the stack for which no frame was left */
	__u32 codes;	   /* new code objects copied in this sample */
	__u32 end;	   /* why a step stopped the walk; 0 = it goes on */
	__u32 sample;	   /* a number of its own for each sample */
	__u64 root;	   /* the outermost frame that was emitted, */
	__u64 root_code;   /* and its code object */
	struct python_attributes attributes;
	__u32 other_state; /* the thread state that runs is not the thread's first: a sub-interpreter's */
	/*
	 * An address in the C frame of the eval loop that has the frames at hand (before the segment, 3.11) or had those of
	 * the last segment (3.12+); 0 = not known.
	 */
	__u64 loop;
	__u64 newest; /* the frame at which the walk began */
	struct python_seen seen[PYTHON_SEEN_MAX];
	__u64 head[KYMO_PYTHON_HEAD_BYTES /
		   8]; /* what was read last: a thread state, frame or code object */
};

/* Where the walk was before the frames of an eval loop, to take them back. */
struct walk_mark {
	__u64 ip, sp, python_frame, python_loop;
	__u32 flags, user_frames;
};

/* KYMO_RECORD_CODE as it goes into the ring; each part may be followed by a word of zeroes. */
#define CODE_FILE_ROOM (2 * KYMO_CODE_FILE_MAX) /* powers of two, for masks: half of it is used */
#define CODE_NAME_ROOM (2 * KYMO_CODE_NAME_MAX)
struct python_code_buffer {
	struct kymo_code head;
	__u64 body[(CODE_FILE_ROOM + CODE_NAME_ROOM + KYMO_LINE_TABLE_MAX) / 8 + 1];
};

/*
 * The record as it goes into the ring: frames follow without gaps, so user frames begin where
 * kernel frames end.
 */
#define SAMPLE_BODY_BYTES \
	(KYMO_KERNEL_FRAMES_MAX * 8 + KYMO_USER_FRAMES_MAX * sizeof(struct kymo_frame))

struct sample_record {
	struct kymo_sample head;
	__u8 body[SAMPLE_BODY_BYTES];
	struct kymo_probe room; /* for the one that follows the frames */
};

/* What made the sample, and what it stands for. */
struct cause {
	enum context context;
	enum kymo_source source;
	__u16 state; /* bits that the context knows */
	__u16 skip;  /* leaf frames of the kernel stack that are ours */
	__u16 flags; /* enum kymo_sample_flag */
	bool probe;  /* the scratch holds what a probe told: a constant where the cause is made */
	__u64 weight;
	__u64 aux; /* with KYMO_SAMPLE_BEGINS: when it began */
};

struct scratch {
	__u32 busy;
	__u32 pad;
	struct cause cause; /* of a sample that another program takes (sample_hand_on) */
	struct native_walk native;
	struct mapping mapping;	      /* the last one found */
	__u32 mapping_set;	      /* that of the current memory map */
	__u32 generation;	      /* unwind_generation when the walk began */
	struct kymo_unwind_rule rule; /* of the frame at hand */
	struct maple_search maple;
	struct python_process process;	  /* the current process's: a copy, one lookup per sample */
	struct kymo_python_binary binary; /* the same; valid where process.found */
	struct kymo_python_layout layout;
	struct python_walk python;
	struct walk_mark before_loop;
	struct kymo_probe probe; /* of the sample, where its cause says so */
	struct sample_record
		record; /* last: a frame's offset is bounded by the rest of the value */
};

#endif
