// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Blocks submitted: which stack asked the disk for how many bytes. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "lib/sample.bpf.h"
#include "lib/thin.bpf.h"

/*
 * As the kernel accounts it to the task (submit_bio): data read and written, once, at the device that
 * was asked. What a device mapper makes of it for the devices below is a clone of the same bytes;
 * discards and flushes move none.
 */
static __always_inline __u64 moved_bytes(const struct bio *bio, __u8 op)
{
	if (BPF_CORE_READ(bio, bi_flags) & (1 << BIO_CLONED))
		return 0;
	return op == REQ_OP_READ || op == REQ_OP_WRITE || op == REQ_OP_ZONE_APPEND
		       ? BPF_CORE_READ(bio, bi_iter.bi_size)
		       : 0;
}

/*
 * The submitter is the current task: a read's is who needs it (or its read-ahead), a buffered write's
 * is the kernel's flusher, unless the program waits for it (fsync, O_DIRECT, O_SYNC).
 */
/* The program that takes the sample in this one's place, and bpf_trace_run1 that calls it. */
#define OWN_FRAMES 2

SEC("raw_tp/block_bio_queue")
int on_bio_queue(__u64 *ctx)
{
	const struct bio *bio = (void *)ctx[0];
	__u8 op = BPF_CORE_READ(bio, bi_opf) & REQ_OP_MASK;
	__u64 bytes = moved_bytes(bio, op);
	struct cause cause = { .context = CONTEXT_TRACEPOINT,
			       .source = KYMO_SOURCE_IO,
			       .state = KYMO_STATE_KERNEL,
			       .skip = OWN_FRAMES };

	if (!bytes || !wanted(bpf_get_current_task_btf()))
		return 0;
	if (op != REQ_OP_READ)
		cause.state |= KYMO_STATE_IO_WRITE;
	cause.weight = thin(KYMO_SOURCE_IO, bytes);
	cause.aux = BPF_CORE_READ(bio, bi_bdev, bd_dev);
	if (cause.weight)
		sample_hand_on(ctx, &cause);
	return 0;
}
