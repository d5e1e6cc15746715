/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The name of a threading.Thread, from its outermost frame: Thread._bootstrap, whose first argument is the Thread,
 * whose attribute _name is a str. That frame stays as it is while the thread lives, so that it may be read at any
 * instant. A name that changes is seen when the thread is looked at again. Also built natively.
 */
#ifndef KYMO_BPF_PYTHON_THREAD_H
#define KYMO_BPF_PYTHON_THREAD_H

#include "lib/common.bpf.h"
#include "lib/python_code.bpf.h"

/* A thread is looked at again after this, each time twice as late. */
#define THREAD_AGAIN_NS	     1000000000ULL
#define THREAD_DOUBLINGS_MAX 6
#define THREAD_NEVER	     (~0ULL)
/* _name is the second attribute, unless a subclass has set its own before. */
#define THREAD_ATTRIBUTES_MAX 48

/* PyTypeObject, the same in all versions. */
#define TYPE_BASIC_SIZE	   32
#define TYPE_FLAGS	   168
#define TYPE_DICT_OFFSET   288
#define TYPE_INLINE_VALUES (1ULL << 2) /* Py_TPFLAGS_INLINE_VALUES, 3.13+ */
/* PyDictObject. */
#define DICT_KEYS   32
#define DICT_VALUES 40
/* PyDictKeysObject up to 3.10, */
#define KEYS_SIZE    8
#define KEYS_COUNT   32
#define KEYS_INDICES 40
/* and from 3.11 on: log2 of the size, of the bytes of indices, a kind. */
#define KEYS_LOG2	  8
#define KEYS_COUNT_LOG2	  24
#define KEYS_INDICES_LOG2 32
#define KEYS_KIND_GENERAL 0
/* A key with the hash before it and the value behind it; other kinds go without the hash. */
#define ENTRY_BYTES	  24
#define ENTRY_BYTES_SHORT 16
/* Words before an object. */
#define OBJECT_DICT   24
#define OBJECT_VALUES 32
/* From 3.13 on an object's values begin with their number. */
#define VALUES_HEAD	 8
#define OFFSET_MAX	 65536

#define NAME_LENGTH	 5
#define NAME_WORD	 0x656d616e5fULL /* "_name" */
#define BOOTSTRAP_LENGTH 10
#define BOOTSTRAP_WORD	 0x727473746f6f625fULL /* "_bootstr" */
#define BOOTSTRAP_REST	 0x7061ULL	       /* "ap" */

struct thread_name_buffer {
	struct kymo_thread_name head;
	__u64 text[2 * KYMO_THREAD_NAME_MAX / 8];
};
static_assert(sizeof(struct thread_name_buffer) <= sizeof(struct python_code_buffer), "room");

/* 0 where it cannot be read. */
static __always_inline __u64 pointer_at(__u64 address)
{
	__u64 value = 0;

	read_user(&value, sizeof(value), address);
	return value;
}

/* An ASCII str of that length (at most 16, a constant), which is these words. */
static __always_inline bool text_is(const struct scratch *s, __u64 address, __u32 length,
				    __u64 first, __u64 rest)
{
	__u64 fields[3] = { 0 }, words[2] = { 0 }; /* length, hash, state */

	if (read_user(fields, sizeof(fields), address + STRING_LENGTH) || fields[0] != length ||
	    !(fields[2] & STRING_ASCII))
		return false;
	if (read_user(words, length, address + s->layout.string_ascii_offset))
		return false;
	return words[0] == first && words[1] == rest;
}

static __always_inline void keys_read(struct scratch *s, __u64 keys)
{
	struct python_attributes *a = &s->python.attributes;
	__u64 size = pointer_at(keys + KEYS_SIZE), bytes;

	a->entry_bytes = ENTRY_BYTES;
	a->key_at = 8;
	if (s->layout.attributes == KYMO_PYTHON_ATTRIBUTES_DICT) {
		bytes = size <= 0xff ? 1 : size <= 0xffff ? 2 : 4;
		a->entries = keys + KEYS_INDICES + size * bytes;
		a->n = pointer_at(keys + KEYS_COUNT);
		return;
	}
	/* KEYS_LOG2: byte 1 the indices' bytes, byte 2 the kind */
	a->entries = keys + KEYS_INDICES_LOG2 + (1ULL << (size >> 8 & 31));
	a->n = pointer_at(keys + KEYS_COUNT_LOG2);
	if ((size >> 16 & 0xff) != KEYS_KIND_GENERAL) {
		a->entry_bytes = ENTRY_BYTES_SHORT;
		a->key_at = 0;
	}
}

static __always_inline __u64 values_head(const struct scratch *s)
{
	return s->layout.attributes == KYMO_PYTHON_ATTRIBUTES_INLINE ? VALUES_HEAD : 0;
}

/* Where the object's dict is, or, as far as it has none, its values: *ret_values. */
static __always_inline __u64 object_dict(const struct scratch *s, __u64 object, __u64 type,
					 __u64 *ret_values)
{
	__u64 offset, word;

	*ret_values = 0;
	if (s->layout.attributes == KYMO_PYTHON_ATTRIBUTES_DICT) {
		offset = pointer_at(type + TYPE_DICT_OFFSET);
		return offset && offset < OFFSET_MAX ? pointer_at(object + offset) : 0;
	}
	word = pointer_at(object - OBJECT_DICT);
	if (s->layout.attributes == KYMO_PYTHON_ATTRIBUTES_TAGGED) {
		if (!(word & 1))
			return word;
		*ret_values = word + 1;
		return 0;
	}
	if (s->layout.attributes == KYMO_PYTHON_ATTRIBUTES_POINTER)
		*ret_values = pointer_at(object - OBJECT_VALUES);
	else if (pointer_at(type + TYPE_FLAGS) & TYPE_INLINE_VALUES)
		*ret_values = object + pointer_at(type + TYPE_BASIC_SIZE) + VALUES_HEAD;
	return word;
}

/* s->python.attributes of an object; without entries where it has none. */
static __always_inline void attributes_find(struct scratch *s, __u64 object)
{
	struct python_attributes *a = &s->python.attributes;
	__u64 type = pointer_at(object + OBJECT_TYPE), values, dict;

	dict = object_dict(s, object, type, &values);
	a->n = 0;
	a->values = values;
	if (dict) {
		keys_read(s, pointer_at(dict + DICT_KEYS));
		values = pointer_at(dict + DICT_VALUES);
		a->values = values ? values + values_head(s) : 0;
	} else if (values) {
		keys_read(s, pointer_at(type + s->layout.type_keys));
	}
}

/* Whether that one is _name: its value, or 0. */
__weak __noinline __u64 attribute_try(__u32 slot, __u32 index)
{
	struct scratch *s = scratch_get(slot);
	struct python_attributes *a;
	__u64 at, i = index;

	if (!s)
		return 0;
	a = &s->python.attributes;
	at = a->entries + i * a->entry_bytes + a->key_at;
	if (!text_is(s, pointer_at(at), NAME_LENGTH, NAME_WORD, 0))
		return 0;
	return pointer_at(a->values ? a->values + i * 8 : at + 8);
}

/* The str that is the name of the thread whose outermost frame is s->python.root, or 0. */
__weak __noinline __u64 thread_name_find(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	__u64 object, name;

	if (!s)
		return 0;
	object = pointer_at(s->python.root + s->layout.frame_locals) & ~KYMO_PYTHON_TAG_BITS;
	if (!object)
		return 0;
	attributes_find(s, object);
	for (__u32 i = 0; i < THREAD_ATTRIBUTES_MAX; i++) {
		if (i >= s->python.attributes.n)
			break;
		name = attribute_try(slot, i);
		if (name)
			return name;
	}
	return 0;
}

static __always_inline void thread_name_emit(struct thread_name_buffer *b, struct scratch *s,
					     __u64 name)
{
	struct string_read text = string_read(s, b->text, 0, name, KYMO_THREAD_NAME_MAX);
	__u64 size = sizeof(b->head) + padded(text.bytes);

	if (!text.bytes) {
		count(KYMO_COUNTER_THREAD_UNREADABLE);
		return;
	}
	__builtin_memset(&b->head, 0, sizeof(b->head));
	opaque(size);
	if (size > sizeof(*b))
		return;
	b->head.head.type = KYMO_RECORD_THREAD;
	b->head.head.size = size;
	b->head.head.time_ns = s->record.head.head.time_ns;
	b->head.who = s->record.head.who;
	b->head.name_size = text.bytes;
	b->head.name_kind = text.kind;
	if (bpf_ringbuf_output(&records, b, size, BPF_RB_NO_WAKEUP))
		count(KYMO_COUNTER_THREAD_RING_FULL);
}

/* Of a thread whose outermost frame is Thread._bootstrap. */
__weak __noinline int thread_name_tell(__u32 slot)
{
	struct thread_name_buffer *b = bpf_map_lookup_elem(&python_code_buffers, &slot);
	struct scratch *s = scratch_get(slot);
	__u64 name;

	if (!s || !b)
		return 0;
	/* The other half of the ring is for samples. */
	if (bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) >
	    bpf_ringbuf_query(&records, BPF_RB_RING_SIZE) / 2) {
		count(KYMO_COUNTER_THREAD_RING_FULL);
		return 0;
	}
	name = thread_name_find(slot);
	if (name)
		thread_name_emit(b, s, name);
	else
		count(KYMO_COUNTER_THREAD_UNREADABLE);
	return 0;
}

static __always_inline bool is_bootstrap(const struct scratch *s)
{
	return text_is(s, pointer_at(s->python.root_code + s->layout.code_name), BOOTSTRAP_LENGTH,
		       BOOTSTRAP_WORD, BOOTSTRAP_REST);
}

/* Behind a walk that came to the outermost frame. */
__weak __noinline int python_thread_name(__u32 slot)
{
	struct scratch *s = scratch_get(slot);
	struct python_thread_key key = { 0 };
	struct python_thread *known, now = { 0 };
	__u32 doublings;

	if (!s || !s->python.root || s->python.end)
		return 0;
	key.start_ns = s->record.head.who.thread_start_ns;
	key.tid = s->record.head.who.tid;
	known = bpf_map_lookup_elem(&python_threads, &key);
	if (known && s->record.head.head.time_ns < known->again_ns)
		return 0;
	now.looks = known ? known->looks + 1 : 0;
	doublings = now.looks < THREAD_DOUBLINGS_MAX ? now.looks : THREAD_DOUBLINGS_MAX;
	now.again_ns = s->record.head.head.time_ns + (THREAD_AGAIN_NS << doublings);
	/* What is outermost stays so. */
	if (is_bootstrap(s))
		thread_name_tell(slot);
	else
		now.again_ns = THREAD_NEVER;
	bpf_map_update_elem(&python_threads, &key, &now, BPF_ANY);
	return 0;
}

#endif
