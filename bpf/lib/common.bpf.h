/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every kernel-side file uses: counting, scratch, reads, frames. */
#ifndef KYMO_BPF_COMMON_H
#define KYMO_BPF_COMMON_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "lib/maps.bpf.h"

/*
 * Keeps clang from moving or splitting what was checked about a value: 6.1 loses the bound of a
 * spilled index.
 */
#define opaque(value) asm volatile("" : "+r"(value))

static __always_inline void count(enum kymo_counter which)
{
	__u32 key = which;
	__u64 *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		(*value)++;
}

static __always_inline struct scratch *scratch_get(__u32 slot)
{
	return bpf_map_lookup_elem(&scratches, &slot);
}

static __always_inline int read_kernel(void *to, __u32 size, __u64 address)
{
	return bpf_probe_read_kernel(to, size, (const void *)address);
}

static __always_inline int read_user(void *to, __u32 size, __u64 address)
{
	return bpf_probe_read_user(to, size, (const void *)address);
}

/*
 * The next free user frame, counted in; NULL when the sample holds KYMO_USER_FRAMES_MAX. All kernel
 * frames are there before the first user frame.
 */
static __always_inline struct kymo_frame *frame_add(struct scratch *s)
{
	__u64 kernel = s->record.head.kernel_frames, user = s->record.head.user_frames;

	opaque(kernel);
	opaque(user);
	if (kernel > KYMO_KERNEL_FRAMES_MAX || user >= KYMO_USER_FRAMES_MAX)
		return NULL;
	s->record.head.user_frames = user + 1;
	return (struct kymo_frame *)(s->record.body + kernel * sizeof(__u64) +
				     user * sizeof(struct kymo_frame));
}

/* 0, or -1 when the sample is full. */
static __always_inline int frame_add_native(struct scratch *s, __u64 address, __u32 flags)
{
	struct kymo_frame *frame = frame_add(s);

	if (!frame)
		return -1;
	frame->address = address;
	frame->generation = 0;
	frame->kind = KYMO_FRAME_NATIVE;
	frame->flags = flags;
	frame->unused = 0;
	frame->instruction = 0;
	frame->pad = 0;
	return 0;
}

static __always_inline int frame_add_python(struct scratch *s, __u64 code, __u32 generation,
					    __s32 instruction)
{
	struct kymo_frame *frame = frame_add(s);

	if (!frame)
		return -1;
	frame->address = code;
	frame->generation = generation;
	frame->kind = KYMO_FRAME_PYTHON;
	frame->flags = 0;
	frame->unused = 0;
	frame->instruction = instruction;
	frame->pad = 0;
	return 0;
}

#endif
