/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fixed-width names for headers that both sides see: the kernel side has them from vmlinux.h. */
#ifndef KYMO_TYPES_H
#define KYMO_TYPES_H

#ifndef __bpf__
#include <linux/types.h>
#include <assert.h>
#else
#define static_assert _Static_assert
#endif

#endif
