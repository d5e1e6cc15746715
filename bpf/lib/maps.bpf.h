/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* All maps and settings of the linked object; weak, so that every .bpf.c may include them. */
#ifndef KYMO_BPF_MAPS_H
#define KYMO_BPF_MAPS_H

#include "lib/scratch.bpf.h"

#define FOLLOWED_MAX	     16384
#define PYTHON_PROCESSES_MAX 16384
#define PYTHON_CODES_MAX     65536
#define PYTHON_BUDGETS_MAX   1024
#define PYTHON_THREADS_MAX   32768

const volatile struct kymo_config config __weak = { 0 };

/*
 * Bumped by user space after each change of python_binaries: negative results are then looked at
 * again.
 */
volatile __u32 python_generation __weak = 0;

/* Bumped by user space after each change of unwind_files: what was found before is then forgotten. */
volatile __u32 unwind_generation __weak = 0;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22);
} records __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, KYMO_COUNTER_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CONTEXT_MAX);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches __weak SEC(".maps");

/* By slot, as the scratch. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CONTEXT_MAX);
	__type(key, __u32);
	__type(value, struct mapping_cache);
} mapping_caches __weak SEC(".maps");

/* Thread group id -> start_boottime of its leader; 0 until the kernel side first sees it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FOLLOWED_MAX);
	__type(key, __u32);
	__type(value, __u64);
} followed __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KYMO_PYTHON_BINARIES_MAX);
	__type(key, struct kymo_file_key);
	__type(value, struct kymo_python_binary);
} python_binaries __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KYMO_PYTHON_LAYOUTS_MAX);
	__type(key, __u32);
	__type(value, struct kymo_python_layout);
} python_layouts __weak SEC(".maps");

struct process_key {
	__u64 start_ns;
	__u32 pid;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PYTHON_PROCESSES_MAX);
	__type(key, struct process_key);
	__type(value, struct python_process);
} python_processes __weak SEC(".maps");

/* Code objects that were copied out: a full map forgets the oldest, which are then copied again. */
struct python_code_key {
	__u64 process_start_ns;
	__u64 address;
	__u32 pid;
	__u32 generation;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PYTHON_CODES_MAX);
	__type(key, struct python_code_key);
	__type(value, __u64); /* 0, or when to copy it again because a part could not be read */
} python_codes __weak SEC(".maps");

/* What has been copied out of a process in the second that ends then. */
struct python_budget {
	__u64 until_ns;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PYTHON_BUDGETS_MAX);
	__type(key, struct process_key);
	__type(value, struct python_budget);
} python_budgets __weak SEC(".maps");

/* Threads whose name was looked for. */
struct python_thread_key {
	__u64 start_ns;
	__u32 tid;
	__u32 pad;
};

struct python_thread {
	__u64 again_ns; /* when to look again */
	__u32 looks;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PYTHON_THREADS_MAX);
	__type(key, struct python_thread_key);
	__type(value, struct python_thread);
} python_threads __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CONTEXT_MAX);
	__type(key, __u32);
	__type(value, struct python_code_buffer);
} python_code_buffers __weak SEC(".maps");

/*
 * The rules of .eh_frame (kymo/unwind.h). Rows lie in pools of chunks that user space makes as it
 * needs them. A file is told when its rows, rules and pages are there.
 */
struct unwind_pool {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KYMO_UNWIND_POOL_CHUNKS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct kymo_unwind_chunk));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, KYMO_UNWIND_POOLS_MAX);
	__type(key, __u32);
	__array(values, struct unwind_pool);
} unwind_pools __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KYMO_UNWIND_RULES_MAX);
	__type(key, __u32);
	__type(value, struct kymo_unwind_rule);
} unwind_rules __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KYMO_UNWIND_PAGES_MAX);
	__type(key, __u32);
	__type(value, struct kymo_unwind_page);
} unwind_pages __weak SEC(".maps");

/* The vDSO, which is no file, has the key of zeroes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, KYMO_UNWIND_FILES_MAX);
	__type(key, struct kymo_file_key);
	__type(value, struct kymo_unwind_file);
} unwind_files __weak SEC(".maps");

/*
 * Rules found before, by the place in the tables (lib/unwind.bpf.h): stacks meet the same return
 * addresses again and again. An entry is one word, so that whoever interrupts another walk reads it whole.
 */
#define RULE_CACHE_ENTRIES 2048

struct rule_cache {
	__u64 entries[RULE_CACHE_ENTRIES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct rule_cache);
} rule_caches __weak SEC(".maps");

#endif
