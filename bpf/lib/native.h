/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stands in for the kernel where a walker of this folder is built natively: memory comes from a function,
 * maps are fields of one struct, records go to a function. Include it before the walker, in one .c
 * file of a program; one thread walks at a time.
 */
#ifndef KYMO_BPF_NATIVE_H
#define KYMO_BPF_NATIVE_H

#include <errno.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kymo/types.h"

/* What the headers of the kernel side would include or define. */
#define KYMO_VMLINUX_H
#define __BPF_HELPERS__
#define __BPF_CORE_READ_H__
#define SEC(name)
#define __uint(name, number) int(*name)[number]
#define __type(name, of)     __typeof__(of) *name
#define __array(name, of)    __typeof__(of) *name[]
#ifndef __weak
#define __weak __attribute__((weak))
#endif
#ifndef __noinline
#define __noinline __attribute__((noinline))
#endif
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#include "lib/maps.bpf.h"

#define NATIVE_CODES_MAX 1024

struct native_kernel {
	void *data; /* of both functions */
	/* The memory of the process: 0, or -errno with nothing promised about `to`. */
	int (*read)(void *data, void *to, size_t size, uint64_t address);
	/* A record (struct kymo_record_head first) as it would go into the ring: 0, or -errno when it is lost. */
	int (*output)(void *data, const void *record, size_t size);
	struct scratch scratch; /* of every slot */
	struct python_code_buffer code_buffer;
	__u64 counters[KYMO_COUNTER_MAX];
	struct python_code_key codes[NATIVE_CODES_MAX]; /* sent already */
	size_t codes_n;
	__u64 codes_value;
	struct python_budget budget; /* of the one process */
	size_t budgets_n;
	struct kymo_unwind_file unwind_file; /* of the interpreter's file */
	/* The one piece of the kernel's memory that can be read. */
	const void *kernel_memory;
	size_t kernel_bytes;
};

/* Who walks now. */
static struct native_kernel *native_kernel;

static inline void *native_code_find(const void *key)
{
	for (size_t i = 0; i < native_kernel->codes_n; i++)
		if (memcmp(&native_kernel->codes[i], key, sizeof(struct python_code_key)) == 0)
			return &native_kernel->codes_value;
	return NULL;
}

static inline void *bpf_map_lookup_elem(const void *map, const void *key)
{
	if (map == &counters)
		return &native_kernel->counters[*(const __u32 *)key];
	if (map == &scratches)
		return &native_kernel->scratch;
	if (map == &python_code_buffers)
		return &native_kernel->code_buffer;
	if (map == &python_codes)
		return native_code_find(key);
	if (map == &python_budgets)
		return native_kernel->budgets_n ? &native_kernel->budget : NULL;
	if (map == &unwind_files)
		return &native_kernel->unwind_file;
	return NULL;
}

/* Not inline: the compiler would see keys of one map copied as another's. */
static __noinline long bpf_map_update_elem(const void *map, const void *key, const void *value,
					   __u64 flags)
{
	(void)flags;
	if (map == &python_budgets) {
		memcpy(&native_kernel->budget, value, sizeof(native_kernel->budget));
		native_kernel->budgets_n = 1;
		return 0;
	}
	if (map != &python_codes)
		return -ENOENT;
	if (native_kernel->codes_n == NATIVE_CODES_MAX)
		native_kernel->codes_n = 0;
	memcpy(&native_kernel->codes[native_kernel->codes_n++], key,
	       sizeof(struct python_code_key));
	return 0;
}

static inline long bpf_probe_read_user(void *to, __u32 size, const void *address)
{
	if (!native_kernel->read(native_kernel->data, to, size, (uint64_t)address))
		return 0;
	memset(to, 0, size); /* as the kernel does */
	return -EFAULT;
}

static inline long bpf_probe_read_kernel(void *to, __u32 size, const void *address)
{
	if (address == native_kernel->kernel_memory && size <= native_kernel->kernel_bytes) {
		memcpy(to, address, size);
		return 0;
	}
	memset(to, 0, size);
	return -EFAULT;
}

/* There is always room. */
static inline __u64 bpf_ringbuf_query(const void *map, __u64 flags)
{
	(void)map;
	(void)flags;
	return 0;
}

static inline long bpf_ringbuf_output(const void *map, const void *record, __u64 size, __u64 flags)
{
	(void)map;
	(void)flags;
	return native_kernel->output(native_kernel->data, record, size);
}

#endif
