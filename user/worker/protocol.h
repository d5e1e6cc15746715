/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside user/worker: what the agent and its two helper processes say to each other, as packets
 * (SOCK_SEQPACKET) on descriptor 3 of the helper. Both sides are one binary, so the layout is
 * the compiler's; both sides check every size, and the agent believes the parser nothing.
 */
#ifndef KYMO_WORKER_PROTOCOL_H
#define KYMO_WORKER_PROTOCOL_H

#include <stdbool.h>
#include <stdint.h>

#include "elf/inspect.h"
#include "worker/worker.h"

#define WORKER_HELPER_FD     3
#define WORKER_MAGIC	     0x6b776b31U
#define WORKER_PACKET_MAX    (64U << 10)
#define WORKER_PATH_MAX	     4096
#define WORKER_OFFSETS_MAX   1024 /* in one request: longer jobs are several */
#define WORKER_NAME_SIZE_MAX 4096
#define WORKER_INLINES_MAX   64 /* of one name */
#define WORKER_MAP_BYTES_MAX (64U << 20)

static inline bool worker_job_has_offsets(enum worker_job_kind kind)
{
	return kind == WORKER_NAME || kind == WORKER_LINES || kind == WORKER_MAP;
}

/* The parser's, but where it runs for stacks that are cut until it is done. */
#define WORKER_NICE 10

/* What stacks wait for comes before names and lines, which can be had later. */
static inline bool worker_job_is_hurried(enum worker_job_kind kind)
{
	return kind == WORKER_INSPECT || kind == WORKER_UNWIND;
}

/* The first packet of a helper: its sandbox stands, or why not. */
struct hello {
	uint32_t magic;
	int32_t error;
};

struct open_request {
	uint32_t magic, sequence;
	uint64_t inode, start, end;
	uint32_t dev, pid;
	uint32_t path_size; /* bytes behind this header, without a NUL */
	uint32_t careful;   /* ask no file system anything that it may leave unanswered */
	uint32_t what;	    /* enum open_what */
	uint32_t uid;	    /* OPEN_PERF_MAP: of the process */
};

enum open_what {
	OPEN_MAPPED,  /* the file of a mapping, by whatever leads to it */
	OPEN_IN_ROOT, /* a path as the process sees it: any regular file there */
	OPEN_ON_HOST, /* a path as we see it */
	OPEN_PERF_MAP, /* as the process sees it, without links; root's or the process's own, and not too large */
};

/* What was opened, by fstat: tells whether a file that is known has changed. */
struct file_identity {
	uint64_t dev, inode, size, mtime_ns;
	/* Nobody can set it: a file made to look like another one does not. */
	uint64_t ctime_ns;
	/* Which file system; 0: one whose server or user may say what it likes of its files */
	uint64_t fs;
	uint64_t owner; /* user id */
};

/*
 * Two for a request that finds its file: the first, before it is opened, says that it is found. A hang
 * behind it is this file's; one before it may be anybody's whose path was walked.
 */
/* The last one has a descriptor when error is 0. */
struct open_reply {
	uint32_t magic, sequence;
	int32_t error;
	uint32_t last;
	struct file_identity identity;
};

/* With a descriptor; offsets_n uint64_t behind it. */
struct parse_request {
	uint32_t magic, sequence;
	uint32_t kind; /* enum worker_job_kind, enum parse_kind */
	uint32_t offsets_n;
	struct file_identity identity;
};

/* What the client asks for besides jobs. */
enum parse_kind {
	PARSE_REFS = 16, /* struct elf_debug_refs */
	PARSE_CRC,	 /* uint32_t */
	PARSE_ATTACH_DEBUG, /* the descriptor is for the LINES that follow: the file with the DWARF; no answer */
	PARSE_ATTACH_ALT, /* the same: its supplementary file */
};

/* INSPECT: struct elf_facts behind it. NAME, LINES, MAP: names_n times struct name_record and its bytes, in one or more packets; behind a name the inlines_n records of what is inlined there. UNWIND: so are names_n bytes of a table
 * (unwind/serial.h). */
struct parse_reply {
	uint32_t magic, sequence;
	int32_t error; /* then nothing is behind it */
	uint32_t names_n;
	uint8_t last;	 /* of this request's */
	uint8_t leaving; /* the parser ends now, on purpose: start another */
	uint8_t pad[6];
	uint64_t cpu_ns; /* with the last: what the request took */
};

struct name_record {
	uint32_t line, first_line;
	uint16_t name_size, file_size; /* bytes behind it: the name, then the source file */
	uint16_t inlines_n;	       /* 0 in those of inlined functions */
	uint16_t pad;
};

#endif
