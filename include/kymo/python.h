/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How one CPython version lies in memory, as data: a row per version (and build),
 * written by user/python, read by bpf/lib/walk_python.bpf.h. Offsets in bytes,
 * from the headers of each CPython version (Include/cpython, Include/internal).
 */
#ifndef KYMO_PYTHON_H
#define KYMO_PYTHON_H

#include "kymo/config.h"

#define KYMO_PYTHON_LAYOUTS_MAX	 64
#define KYMO_PYTHON_BINARIES_MAX 256

/* How a thread state leads to its newest frame. */
enum kymo_python_frames {
	KYMO_PYTHON_FRAME_DIRECT = 0, /* *(ts + ts_frame): up to 3.10 (PyFrameObject), 3.13+ */
	KYMO_PYTHON_FRAME_CFRAME = 1, /* *(*(ts + ts_frame) + cframe_current): 3.11, 3.12 */
};

/* How a frame says that the C stack has one eval loop for it and those above. */
enum kymo_python_boundary {
	KYMO_PYTHON_BOUNDARY_EACH = 0,	/* each frame has its own loop: up to 3.10 */
	KYMO_PYTHON_BOUNDARY_ENTRY = 1, /* is_entry (byte) is 1: 3.11; the entry frame is real */
	KYMO_PYTHON_BOUNDARY_OWNER =
		2, /* owner (byte) >= boundary_value: 3.12+; a shim, not shown */
};

/* From 3.14 on a frame's reference to its code has a tag in bits that are zero in addresses. */
#define KYMO_PYTHON_TAG_BITS	    7ULL

#define KYMO_PYTHON_OWNER_GENERATOR 1 /* FRAME_OWNED_BY_GENERATOR */

/* Where the interpreter keeps the lock, and who holds it. */
enum kymo_python_gil {
	KYMO_PYTHON_GIL_NONE = 0,
	KYMO_PYTHON_GIL_CURRENT = 1, /* _PyThreadState_Current is the holder or NULL: 3.6 */
	KYMO_PYTHON_GIL_RUNTIME = 2, /* in _PyRuntime: 3.7 to 3.11 */
	KYMO_PYTHON_GIL_INTERP = 3,  /* the interpreter state points to it: 3.12+ */
};

/* Where an object keeps its attributes. */
enum kymo_python_attributes {
	KYMO_PYTHON_ATTRIBUTES_DICT = 0,    /* in the dict that its type says: up to 3.10 */
	KYMO_PYTHON_ATTRIBUTES_POINTER = 1, /* values at *(object - 32), else a dict: 3.11 */
	KYMO_PYTHON_ATTRIBUTES_TAGGED = 2,  /* values at *(object - 24) + 1, else a dict: 3.12 */
	KYMO_PYTHON_ATTRIBUTES_INLINE =
		3, /* a dict at *(object - 24), else values behind it: 3.13+ */
};

/* struct _gil_runtime_state is the same from 3.7 to 3.14 (glibc's condition variables and mutexes included). */
#define KYMO_PYTHON_GIL_HOLDER 8 /* last_holder; behind it `locked` (int) */
#define KYMO_PYTHON_GIL_BYTES  208

struct kymo_python_layout {
	__u16 version; /* 0x030b = 3.11 */
	__u8 frames;   /* enum kymo_python_frames */
	__u8 boundary; /* enum kymo_python_boundary */
	__u8 boundary_value;
	__u8 instruction_is_index; /* f_lasti counts from code start (up to 3.10), else a pointer */
	__u8 instruction_scale;	   /* 2 for 3.10 (f_lasti in words), else 1 */
	__u8 string_ascii_offset;  /* of the characters of an ASCII str */
	__u8 string_compact_offset;
	__u8 gil;	   /* enum kymo_python_gil */
	__u8 gc_in_interp; /* gc_collecting is in the interpreter state, else in _PyRuntime */
	__u8 pad;
	__u16 ts_interp, ts_thread_id;
	__u16 ts_frame;
	__u16 cframe_current, cframe_previous; /* both within 24 bytes */
	__u16 frame_previous, frame_code, frame_instruction, frame_boundary;
	__u16 frame_size; /* bytes to read of a frame to have all of the above */
	__u16 code_first_line, code_file, code_name, code_qualname; /* qualname 0 = none */
	__u16 code_table;
	__u16 code_bytes; /* of the instructions (co_code_adaptive) inside the object; 0 up to 3.10 */
	__u16 code_content; /* a word that differs between code objects of one name: its bytes object or its size */
	__u16 code_version; /* co_version, 3.12+: never the same for two code objects unless 0; 0 = none */
	__u16 code_size;   /* bytes to read of a code's head */
	__u16 frame_owner; /* enum _frameowner (byte): 3.11+; 0 = none */
	__u32 runtime_key; /* offset in _PyRuntime of the pthread key (int) of the thread state */
	__u32 runtime_current; /* offset in _PyRuntime of the thread state that runs (holds the lock); 0 = none */
	__u32 gil_offset; /* of the lock in _PyRuntime, or of the pointer to it in the interpreter state */
	__u32 gc_collecting; /* 0 = not there */
	__u16 frame_locals;  /* of the first argument in a frame */
	__u16 type_keys;     /* of a class's keys of attributes (ht_cached_keys); 0 up to 3.10 */
	__u8 attributes;     /* enum kymo_python_attributes */
	__u8 pad2[3];
};
static_assert(sizeof(struct kymo_python_layout) == 76, "layout");

/* What is read of a thread state at once: all its fields above lie within. */
#define KYMO_PYTHON_THREAD_STATE_BYTES 192
/* Frames and heads of code objects are read whole, up to this. */
#define KYMO_PYTHON_HEAD_BYTES 256

/* An address range in file offsets of the binary, end exclusive. */
struct kymo_file_range {
	__u64 start, end;
};

#define KYMO_PYTHON_EVAL_RANGES 4

/* One file that holds an interpreter: key kymo_file_key in the map `python_binaries`. */
struct kymo_python_binary {
	__u64 runtime_vaddr; /* of _PyRuntime, before the load bias; 3.6: 0 */
	__u64 key_vaddr;     /* of the pthread key (int) of the thread state */
	__u64 gil_vaddr; /* of the lock (3.6: of _PyThreadState_Current); 0 = the interpreter state leads to it */
	__u64 text_offset_bias; /* vaddr - file offset of the executable segment */
	__u64 code_type_vaddr;	/* of PyCode_Type; 0 = unknown */
	struct kymo_file_range eval[KYMO_PYTHON_EVAL_RANGES]; /* the eval loop's parts: hot, cold */
	struct kymo_file_range torn; /* the prologue in which frames are half built; empty = none */
	__u32 layout;		     /* index into the map `python_layouts` */
	/* Where a thread has the values of its pthread keys, from the fs base; 0 = not there. */
	__u32 tls_specific; /* glibc: specific_1stblock, pairs of a sequence number and the value */
	__u32 tls_values;   /* musl: tsd, a pointer to the values */
	__u8 frame_pointers; /* the eval loop keeps rbp as frame pointer */
	__u8 pad[3];
};

#endif
