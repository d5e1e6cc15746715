// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Samples of perf events: what ran when the clock fired, and what faulted pages in. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#include "lib/sample.bpf.h"
#include "lib/thin.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Volatile: clang would read the low byte alone, which the verifier refuses for this context. */
static __always_inline __u16 mode_of(struct bpf_perf_event_data *ctx)
{
	__u64 cs = *(volatile unsigned long *)&ctx->regs.cs;

	return (cs & KYMO_CS_MODE_MASK) == 0 ? KYMO_STATE_KERNEL : 0;
}

/*
 * What the fault mapped: the size of the page table entry that now stands for its address, which perf
 * reads for us (PERF_SAMPLE_DATA_PAGE_SIZE). Before 6.3 it does so only after this program: then every fault
 * counts as a base page. The other pages of a large folio or of fault-around, which
 * are mapped along, are not counted.
 */
static __always_inline __u64 fault_bytes(struct bpf_perf_event_data *ctx)
{
	struct bpf_perf_event_data_kern *kernel_ctx = (void *)ctx; /* it really is one */
	struct perf_sample_data *data = NULL;
	__u64 bytes = 0;

	if (bpf_core_read(&data, sizeof(data), &kernel_ctx->data) == 0 &&
	    BPF_CORE_READ(data, sample_flags) & PERF_SAMPLE_DATA_PAGE_SIZE)
		bytes = BPF_CORE_READ(data, data_page_size);
	if (bytes)
		return bytes;
	count(KYMO_COUNTER_FAULT_SIZE_UNKNOWN);
	return config.page_bytes;
}

/*
 * One program for all events, told apart by their cookie: the kernel verifies the walk once for each program that
 * has it, and that is most of what loading takes. For a fault it is called for every sample_period-th of a CPU that was
 * handled well, with the page in its place; it runs in the faulting task, not in an interrupt.
 */
SEC("perf_event")
int on_event(struct bpf_perf_event_data *ctx)
{
	struct cause cause = { .context = CONTEXT_TIMER,
			       .source = KYMO_SOURCE_CPU,
			       .state = mode_of(ctx),
			       .weight = config.cpu_period_ns };

	if (!wanted(bpf_get_current_task_btf()))
		return 0;
	if (bpf_get_attach_cookie(ctx) == KYMO_SOURCE_FAULT) {
		cause.context = CONTEXT_FAULT;
		cause.source = KYMO_SOURCE_FAULT;
		cause.weight = thin(KYMO_SOURCE_FAULT, fault_bytes(ctx)) * ctx->sample_period;
	}
	if (cause.weight)
		sample_take(ctx, &cause);
	return 0;
}
