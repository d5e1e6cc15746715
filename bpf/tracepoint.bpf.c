// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The sample of any raw tracepoint's program, which calls this one at its end. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "lib/sample.bpf.h"

SEC("raw_tp")
int on_tracepoint_sample(__u64 *ctx)
{
	struct scratch *s = scratch_get(CONTEXT_TRACEPOINT);
	struct cause cause;

	if (!s)
		return 0;
	cause = s->cause;
	cause.probe = false;
	sample_write(ctx, s, &cause);
	s->busy = 0;
	return 0;
}
