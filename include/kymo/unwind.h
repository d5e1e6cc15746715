/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How to get from a frame to its caller: the rules of .eh_frame, as tables that user/unwind makes
 * of a file and the kernel side searches.
 *
 * Code is addressed by its offset in the file, so a mapping's start and pgoff lead to it without a
 * load bias. A file is cut into pages of 64 KiB. A page has rows in ascending order; the first
 * stands at 0 and carries on the rule of the page before, so a search in it always finds a row: the
 * last one at or below the offset. Pages lie in chunks, never across two; many files share a chunk.
 */
#ifndef KYMO_UNWIND_H
#define KYMO_UNWIND_H

#include "kymo/types.h"

#define KYMO_UNWIND_PAGE_SHIFT	 16
#define KYMO_UNWIND_PAGE_BYTES	 (1U << KYMO_UNWIND_PAGE_SHIFT)
#define KYMO_UNWIND_CHUNK_ROWS	 16384
#define KYMO_UNWIND_SEARCH_STEPS 14 /* halvings of a page of KYMO_UNWIND_CHUNK_ROWS rows */
#define KYMO_UNWIND_RULES_MAX	 65536
#define KYMO_UNWIND_POOL_CHUNKS	 16	/* of 64 KiB: what the kernel's memory grows by */
#define KYMO_UNWIND_POOLS_MAX	 128	/* 128 MiB: 33 million rows */
#define KYMO_UNWIND_PAGES_MAX	 262144 /* of all files: 16 GiB of them */
#define KYMO_UNWIND_FILES_MAX	 16384

/* Where the caller's stack begins: the CFA, its stack pointer at the call. */
enum kymo_unwind_cfa {
	/* No description covers the code; all of the rule is 0. */
	KYMO_UNWIND_CFA_GAP = 0,
	/* register + cfa_offset */
	KYMO_UNWIND_CFA_REGISTER = 1,
	/* *(register + cfa_offset) + 8 * cfa_add: signal frames, realigned stacks */
	KYMO_UNWIND_CFA_DEREF = 2,
	/* *(sp + 8 * register + cfa_offset) + 8 * cfa_add: multiplication in libcrypto */
	KYMO_UNWIND_CFA_INDEXED = 3,
	/* x86-64: sp + cfa_offset, 8 more from byte `cfa_register` of 16 on: lazy calls of libraries */
	KYMO_UNWIND_CFA_PLT = 4,
	/* The outermost frame: it has no caller. */
	KYMO_UNWIND_CFA_END = 5,
	/* Described by what is not known here. */
	KYMO_UNWIND_CFA_UNSUPPORTED = 6,
	KYMO_UNWIND_CFA_MAX,
};

/* Where a register of the caller is. */
enum kymo_unwind_value {
	KYMO_UNWIND_SAME = 0,	      /* still in the register itself */
	KYMO_UNWIND_AT_CFA = 1,	      /* *(CFA + 8 * offset) */
	KYMO_UNWIND_AT_REGISTER = 2,  /* *(register + 8 * offset) */
	KYMO_UNWIND_IN_REGISTER = 3,  /* in another register */
	KYMO_UNWIND_OF_CFA = 4,	      /* CFA + 8 * offset is its value */
	KYMO_UNWIND_UNDEFINED = 5,    /* lost */
	KYMO_UNWIND_UNKNOWN_RULE = 6, /* described by what is not known here: as good as lost */
	KYMO_UNWIND_VALUE_MAX,
};

enum kymo_unwind_flag {
	/* The frame was made by the kernel for a signal handler: its caller was interrupted, did not
	 * call, so its pc is exact, and its stack may be another one. */
	KYMO_UNWIND_SIGNAL = 1 << 0,
	/* Its code changes stacks (Go's, to run something on the thread's own): the caller's frame may lie on
	 * another one, to which the frame pointer leads; without one the other stack has nothing to tell. */
	KYMO_UNWIND_OTHER_STACK = 1 << 1,
};

/*
 * Registers are DWARF's numbers, below 32. Besides the stack pointer and the pc three registers are
 * followed from frame to frame: the return address (ra; on x86-64 no register of its own), the frame
 * pointer (fp: rbp, x29), and the one that assembly takes for it (base: rbx; arm64: none). Others
 * hold their values in the leaf alone.
 */
struct kymo_unwind_rule {
	__u8 cfa_kind : 3; /* enum kymo_unwind_cfa */
	__u8 cfa_register : 5;
	__u8 ra_kind : 3; /* enum kymo_unwind_value */
	__u8 ra_register : 5;
	__u8 fp_kind : 3;
	__u8 fp_register : 5;
	__u8 base_kind : 3;
	__u8 base_register : 5;
	__s32 cfa_offset; /* bytes */
	__s16 ra_offset;  /* in words of 8 bytes, as the next two */
	__s16 fp_offset;
	__s16 base_offset;
	__u8 flags;   /* enum kymo_unwind_flag */
	__s8 cfa_add; /* words */
};
static_assert(sizeof(struct kymo_unwind_rule) == 16, "layout");

/* The same in every dictionary. */
enum kymo_unwind_rule_id {
	KYMO_UNWIND_RULE_GAP = 0,
	KYMO_UNWIND_RULE_END = 1,
	KYMO_UNWIND_RULE_UNSUPPORTED = 2,
	KYMO_UNWIND_RULE_FIXED, /* how many there are */
};

/* DWARF's numbers of the registers that rules name most. */
enum kymo_unwind_register {
	KYMO_UNWIND_X86_RBX = 3,
	KYMO_UNWIND_X86_RDI = 5,
	KYMO_UNWIND_X86_RBP = 6,
	KYMO_UNWIND_X86_RSP = 7,
	KYMO_UNWIND_ARM64_FP = 29,
	KYMO_UNWIND_ARM64_LR = 30,
	KYMO_UNWIND_ARM64_SP = 31,
};

/* From `low` of its page to the next row, or to the page's end. */
struct kymo_unwind_row {
	__u16 low;  /* offset in the file, its lower 16 bits */
	__u16 rule; /* in the kernel: of the one dictionary of all files; 0 = the gap */
};
static_assert(sizeof(struct kymo_unwind_row) == 4, "layout");

/* Where a page's rows are. Pages without a row of their own share the one that they carry. */
struct kymo_unwind_page {
	__u32 chunk;
	__u16 first; /* row in the chunk */
	__u16 rows;  /* at least 1 */
};
static_assert(sizeof(struct kymo_unwind_page) == 8, "layout");

struct kymo_unwind_chunk {
	struct kymo_unwind_row rows[KYMO_UNWIND_CHUNK_ROWS];
};
static_assert(sizeof(struct kymo_unwind_chunk) == 65536, "layout");

/* One file: its pages stand in a row, from page_base on. Before and behind them is a gap. */
struct kymo_unwind_file {
	__u32 page_base;
	__u32 first_page; /* offset in the file >> KYMO_UNWIND_PAGE_SHIFT */
	__u32 pages;	  /* 0 = the file was looked at and has no rules */
	__u32 pad;
};
static_assert(sizeof(struct kymo_unwind_file) == 16, "layout");

#endif
