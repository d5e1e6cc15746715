/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fields that changed between Linux 6.1 and today. What stands behind ___ is cut off when the type
 * is looked up in the running kernel; bpf_core_field_exists tells which flavour that kernel has.
 */
#ifndef KYMO_FLAVORS_H
#define KYMO_FLAVORS_H

#include "vmlinux.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* Before f1a7941243c1 (6.2) the resident set was counted in plain atomics. */
struct mm_rss_stat___before_6_2 {
	atomic_long_t count[4];
};

struct mm_struct___before_6_2 {
	struct mm_rss_stat___before_6_2 rss_stat;
};

/* Before 633488947ef6 (6.15). */
struct kernfs_node___before_6_15 {
	struct kernfs_node *parent;
};

/*
 * Counted up around each change of a memory map, where the kernel has a lock per mapping: since 6.4 by the
 * unlock that ends it; since 6.13 a seqcount, by lock and unlock.
 */
struct mm_struct___since_6_4 {
	int mm_lock_seq;
};

struct mm_struct___since_6_13 {
	seqcount_t mm_lock_seq;
};

#pragma clang attribute pop

#endif
