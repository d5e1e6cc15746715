/* SPDX-License-Identifier: Apache-2.0 */
/* What a stack is made of: frames of binaries and functions, shared by all ticks of a profile. */
#ifndef KYMO_MODEL_FRAME_H
#define KYMO_MODEL_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Stored in profiles: numbers never change. */
enum frame_kind {
	FRAME_KERNEL = 1,
	FRAME_NATIVE = 2,
	FRAME_PYTHON = 3,
	FRAME_SYNTHETIC = 4, /* in brackets: "[truncated: no rule]" */
	FRAME_KIND_MAX,
};

extern const char
	*const frame_kind_names[FRAME_KIND_MAX]; /* "kernel", "native", "python", "synthetic" */

enum binary_kind {
	BINARY_FILE = 1,   /* offset = file offset */
	BINARY_KERNEL = 2, /* offset = address - _text */
	BINARY_VDSO = 3,   /* offset from the mapping's start */
	BINARY_ANON = 4, /* memory without a file (JIT): offset = address, one binary per process */
	BINARY_UNKNOWN = 5, /* no mapping known: offset = address */
	BINARY_KIND_MAX,
};

#define BUILD_ID_MAX 64

struct build_id {
	uint8_t size; /* 0 = none or not known yet */
	uint8_t bytes[BUILD_ID_MAX];
};

/*
 * All ids count from 1 within a profile; 0 is "none". Strings inside these are
 * owned by whoever holds the struct (tick_release frees a tick's).
 */
struct binary {
	uint32_t id;
	enum binary_kind kind;
	char *path; /* as the process saw it */
	uint64_t inode;
	uint32_t
		successor; /* how many other files had the inode before it, as far as the recording saw */
	uint32_t dev; /* major << 20 | minor */
	struct build_id build_id;
};

struct function {
	uint32_t id;
	enum frame_kind kind;
	uint32_t binary; /* native, kernel: whose function; python: 0 */
	char *name;	 /* C++ and Rust demangled where it can be; "" = not named */
	char *file;	 /* "" = unknown */
	uint32_t first_line;
};

struct frame {
	uint32_t id;
	enum frame_kind kind;
	uint32_t binary;   /* kernel, native */
	uint64_t offset;   /* in the binary, of the instruction that ran or called */
	uint32_t function; /* python, synthetic, kernel: known at once; native: 0 until named */
	uint32_t line;	   /* 0 = unknown */
	bool by_fp;	   /* native: found by a frame pointer alone */
};

/* What is inlined at a native frame: depth 1 is the outermost, frame.function stands at depth 0. */
struct frame_inline {
	uint32_t frame;
	uint32_t depth;
	uint32_t function;
	uint32_t line; /* that ran or called, as frame.line; 0 = unknown */
};

/* A node of the tree of stacks: parent is the caller's node, always a lower id; 0 for a root frame. */
struct stack {
	uint32_t id;
	uint32_t parent;
	uint32_t frame;
};

#endif
