/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPython's code objects: which one it is, and its names and line table copied out at first sight. The
 * address alone names nothing: a code object that is dropped makes room for another at once. The
 * generation is a checksum of what tells them apart.
 */
#ifndef KYMO_BPF_PYTHON_CODE_H
#define KYMO_BPF_PYTHON_CODE_H

#include "lib/common.bpf.h"

/* Of one sample: a copy takes 1.3 to 4 us. */
#define CODES_PER_SAMPLE 16
/*
 * Of one process, in a second: a program may make code objects without end, and samples of others go through the same
 * ring. A large program's start comes to a tenth of it.
 */
#define CODES_SECOND_NS	 1000000000ULL
#define CODES_BYTES	 (1ULL << 20)
#define CODE_BYTES_LEAST 512 /* a name and a place in the profile cost, too */
/* A part that could not be read (not paged in yet) is tried again this late. */
#define CODE_AGAIN_NS 1000000000ULL

/* The same in all versions: str length 16, hash 24, state 32; bytes size 16, data 32; ob_type 8. */
#define OBJECT_TYPE    8
#define STRING_LENGTH  16
#define STRING_HASH    24
#define STRING_KIND(s) ((s) >> 2 & 7)
#define STRING_COMPACT (1 << 5)
#define STRING_ASCII   (1 << 6)
#define BYTES_SIZE     16
#define BYTES_DATA     32

static __always_inline __u64 head_u64(const struct scratch *s, __u32 offset)
{
	__u64 i = offset >> 3;

	opaque(i);
	i &= KYMO_PYTHON_HEAD_BYTES / 8 - 1;
	return s->python.head[i];
}

static __always_inline __u32 head_u32(const struct scratch *s, __u32 offset)
{
	return head_u64(s, offset) >> (offset & 4) * 8;
}

static __always_inline __u8 head_u8(const struct scratch *s, __u32 offset)
{
	return head_u64(s, offset) >> (offset & 7) * 8;
}

/* The head of s->python.code into s->python.head. */
static __always_inline int code_read(struct scratch *s)
{
	__u64 size = s->layout.code_size;

	opaque(size);
	if (size > KYMO_PYTHON_HEAD_BYTES)
		size = KYMO_PYTHON_HEAD_BYTES;
	return read_user(s->python.head, size, s->python.code);
}

/* The rest: of the head that was read. */
static __always_inline bool code_is(const struct scratch *s)
{
	return !s->binary.code_type_vaddr ||
	       head_u64(s, OBJECT_TYPE) == s->process.load_bias + s->binary.code_type_vaddr;
}

/* 3.13 calls a class through a code object of its own: name and file are one str, the first line is 0. */
static __always_inline bool code_is_shim(const struct scratch *s)
{
	return !head_u32(s, s->layout.code_first_line) &&
	       head_u64(s, s->layout.code_file) == head_u64(s, s->layout.code_name);
}

static __always_inline __u64 mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
	return hash ^ hash >> 32;
}

/* What pointers cannot tell: freed objects are made again at the same places. What cannot be read counts as 0. */
static __always_inline __u64 code_content(const struct scratch *s, __u64 hash)
{
	__u64 name = head_u64(s, s->layout.code_name), table = head_u64(s, s->layout.code_table);
	__u64 name_hash = 0, bytes[4] = { 0 }; /* size, hash, the first 16 bytes */

	read_user(&name_hash, sizeof(name_hash), name + STRING_HASH);
	read_user(bytes, sizeof(bytes), table + BYTES_SIZE);
	/* What lies behind a short table is not its own, and changes. */
	if (bytes[0] < 16)
		bytes[3] &= bytes[0] <= 8 ? 0 : (1ULL << (bytes[0] & 7) * 8) - 1;
	if (bytes[0] < 8)
		bytes[2] &= (1ULL << (bytes[0] & 7) * 8) - 1;
	return mix(mix(mix(mix(hash, name_hash), bytes[0]), bytes[2]), bytes[3]);
}

static __always_inline __u32 code_generation(const struct scratch *s)
{
	__u32 version = s->layout.code_version ? head_u32(s, s->layout.code_version) : 0;
	__u64 hash = head_u32(s, s->layout.code_first_line);

	hash = mix(hash, head_u64(s, s->layout.code_file));
	hash = mix(hash, head_u64(s, s->layout.code_name));
	hash = mix(hash, head_u64(s, s->layout.code_table));
	hash = mix(hash, head_u64(s, s->layout.code_content));
	hash = mix(hash, version);
	/* co_version is never given twice, but runs out. */
	if (!version)
		hash = code_content(s, hash);
	return hash ^ hash >> 32;
}

/* What was read of a str: bytes and the bytes per character; none when it cannot be read. */
struct string_read {
	__u32 bytes;
	__u8 kind;
};

/* Into body + at (a multiple of 8), at most `max` bytes, padded with zeroes to a multiple of 8. */
static __always_inline struct string_read string_read(const struct scratch *s, __u64 *body,
						      __u64 at, __u64 address, __u64 max)
{
	__u64 fields[3]; /* length, hash, state */
	struct string_read none = { 0, 1 };
	__u64 bytes, kind, state;

	if (read_user(fields, sizeof(fields), address + STRING_LENGTH))
		return none;
	state = (__u32)fields[2];
	kind = STRING_KIND(state);
	if (!(state & STRING_COMPACT) || (kind != 1 && kind != 2 && kind != 4))
		return none;
	bytes = fields[0] < max ? fields[0] * kind : max;
	opaque(bytes);
	if (bytes > max)
		bytes = max;
	address += state & STRING_ASCII ? s->layout.string_ascii_offset
					: s->layout.string_compact_offset;
	body[(at + bytes) >> 3] = 0;
	if (read_user((__u8 *)body + at, bytes, address))
		return none;
	return (struct string_read){ bytes, kind };
}

/* The same for the line table; -1 when it cannot be read. */
static __always_inline __s64 table_read(__u64 *body, __u64 at, __u64 address)
{
	__u64 bytes = 0;

	if (read_user(&bytes, sizeof(bytes), address + BYTES_SIZE))
		return -1;
	opaque(bytes);
	if (bytes > KYMO_LINE_TABLE_MAX)
		bytes = KYMO_LINE_TABLE_MAX;
	body[(at + bytes) >> 3] = 0;
	if (read_user((__u8 *)body + at, bytes, address + BYTES_DATA))
		return -1;
	return bytes;
}

static __always_inline __u64 padded(__u64 bytes)
{
	return (bytes + 7) & ~7ULL;
}

/* The parts behind the head: how many bytes, all in all. */
static __always_inline __u64 code_fill(const struct scratch *s, struct python_code_buffer *b)
{
	__u16 named = s->layout.code_qualname ? s->layout.code_qualname : s->layout.code_name;
	struct string_read text;
	__u64 at, name_bytes;
	__s64 table;

	text = string_read(s, b->body, 0, head_u64(s, s->layout.code_file), KYMO_CODE_FILE_MAX);
	b->head.file_size = text.bytes;
	b->head.file_kind = text.kind;
	/*
	 * Masks bound what the verifier knows. A comparison that is never true does so too, but makes
	 * kernels from 6.8 on warn of bounds that contradict each other ("REG INVARIANTS VIOLATION").
	 */
	at = padded(text.bytes);
	opaque(at);
	at &= CODE_FILE_ROOM - 8;
	text = string_read(s, b->body, at, head_u64(s, named), KYMO_CODE_NAME_MAX);
	b->head.name_size = text.bytes;
	b->head.name_kind = text.kind;
	name_bytes = padded(text.bytes);
	opaque(name_bytes);
	at += name_bytes & (CODE_NAME_ROOM - 8);
	table = table_read(b->body, at, head_u64(s, s->layout.code_table));
	b->head.table_size = table > 0 ? table : 0;
	if (!b->head.file_size || !b->head.name_size || table < 0)
		b->head.head.flags = KYMO_CODE_INCOMPLETE;
	return at + padded(b->head.table_size);
}

static __always_inline struct process_key code_process(const struct scratch *s)
{
	return (struct process_key){ .start_ns = s->record.head.who.process_start_ns,
				     .pid = s->record.head.who.pid };
}

/* Whether its process, and the ring, have room for another one. */
static __always_inline bool code_allowed(const struct scratch *s)
{
	struct process_key key = code_process(s);
	struct python_budget *b = bpf_map_lookup_elem(&python_budgets, &key);
	struct python_budget fresh = { 0 };

	/* The other half of the ring is for samples. */
	if (bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) >
	    bpf_ringbuf_query(&records, BPF_RB_RING_SIZE) / 2) {
		count(KYMO_COUNTER_CODE_RING_FULL);
		return false;
	}
	if (b && s->record.head.head.time_ns < b->until_ns) {
		if (b->bytes < CODES_BYTES)
			return true;
		count(KYMO_COUNTER_CODE_LIMIT);
		return false;
	}
	fresh.until_ns = s->record.head.head.time_ns + CODES_SECOND_NS;
	bpf_map_update_elem(&python_budgets, &key, &fresh, BPF_ANY);
	return true;
}

static __always_inline void code_charge(const struct scratch *s, __u64 bytes)
{
	struct process_key key = code_process(s);
	struct python_budget *b = bpf_map_lookup_elem(&python_budgets, &key);

	if (b)
		__sync_fetch_and_add(&b->bytes,
				     bytes < CODE_BYTES_LEAST ? CODE_BYTES_LEAST : bytes);
}

/* Copies out the code object whose head is in s->python.head. The record's flags, or -1 when the ring is full. */
__weak __noinline int code_copy(__u32 slot)
{
	struct python_code_buffer *b = bpf_map_lookup_elem(&python_code_buffers, &slot);
	struct scratch *s = scratch_get(slot);
	__u64 size;

	if (!s || !b)
		return -1;
	b->head.head.type = KYMO_RECORD_CODE;
	b->head.head.flags = 0;
	b->head.head.time_ns = s->record.head.head.time_ns;
	b->head.process_start_ns = s->record.head.who.process_start_ns;
	b->head.address = s->python.code;
	b->head.pid = s->record.head.who.pid;
	b->head.generation = s->python.generation;
	b->head.first_line = head_u32(s, s->layout.code_first_line);
	b->head.version = s->layout.version;
	b->head.pad[0] = b->head.pad[1] = 0;
	size = sizeof(b->head) + code_fill(s, b);
	opaque(size);
	if (size > sizeof(*b))
		return -1;
	b->head.head.size = size;
	code_charge(s, size);
	if (!bpf_ringbuf_output(&records, b, size, BPF_RB_NO_WAKEUP))
		return b->head.head.flags;
	count(KYMO_COUNTER_CODE_RING_FULL);
	return -1;
}

/* Of the code object whose head is in s->python.head: s->python.generation, and a copy if it is new. */
__weak __noinline int code_identify(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	struct python_code_key key = { 0 };
	__u64 now, again = 0, *known;
	int flags;

	if (!s)
		return -1;
	s->python.generation = code_generation(s);
	now = s->record.head.head.time_ns;
	key.process_start_ns = s->record.head.who.process_start_ns;
	key.address = s->python.code;
	key.pid = s->record.head.who.pid;
	key.generation = s->python.generation;
	known = bpf_map_lookup_elem(&python_codes, &key);
	if (known && (!*known || now < *known))
		return 0;
	if (s->python.codes >= CODES_PER_SAMPLE) {
		count(KYMO_COUNTER_CODE_LIMIT);
		return 0;
	}
	if (!code_allowed(s))
		return 0;
	s->python.codes++;
	flags = code_copy(slot);
	if (flags < 0)
		return 0;
	if (flags & KYMO_CODE_INCOMPLETE) {
		count(KYMO_COUNTER_CODE_UNREADABLE);
		again = now + CODE_AGAIN_NS;
	}
	bpf_map_update_elem(&python_codes, &key, &again, BPF_ANY);
	return 0;
}

#endif
