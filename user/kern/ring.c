/* SPDX-License-Identifier: Apache-2.0 */
/* From the rings into one order of time, and on to whoever asks. */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kern/decode.h"
#include "kern/state.h"

/*
 * Codes and names of threads do not wait: whichever CPU's sample uses one, it came into the ring before that sample.
 * Waiting for its time it could come after a sample of another CPU that began earlier.
 */
static int take_sample(struct kern *k, const struct raw_sample *sample, const void *data,
		       size_t size)
{
	if (sample->head->head.flags & KYMO_SAMPLE_BEGINS &&
	    waits_began(&k->waits, sample->head, data, size) < 0)
		return -ENOMEM;
	/* A wait is of no interest before its end. */
	if (sample->head->head.flags & KYMO_SAMPLE_BEGINS &&
	    sample->head->source == KYMO_SOURCE_GIL)
		return 0;
	(void)order_add(&k->order, ORDER_SAMPLE, sample->head->head.time_ns, data, size, NULL, 0);
	return 0;
}

/* The sample that began it is one now, as of its end. */
static int take_waited(struct kern *k, const struct kymo_waited *waited)
{
	struct wait_begun *begun = waits_ended(&k->waits, waited);

	if (begun)
		(void)order_add(&k->order, ORDER_SAMPLE, waited->head.time_ns, begun->bytes,
				begun->size, NULL, 0);
	return 0;
}

static int take(struct kern *k, void *data, size_t size)
{
	struct raw_sample sample;
	struct kern_code code;
	struct kern_thread thread;
	struct process_event event;
	struct kymo_task task;
	const struct kymo_oom *oom;
	const struct kymo_waited *waited;
	int r = decode_type(data, size);

	switch (r) {
	case KYMO_RECORD_SAMPLE:
		r = decode_sample(data, size, &sample);
		return r == 0 ? take_sample(k, &sample, data, size) : r;
	case KYMO_RECORD_WAITED:
		r = decode_waited(data, size, &waited);
		return r == 0 ? take_waited(k, waited) : r;
	case KYMO_RECORD_CODE:
		r = decode_code(data, size, &code);
		if (r == 0)
			k->handler->code(k->handler->data, &code);
		return r;
	case KYMO_RECORD_THREAD:
		r = decode_thread(data, size, &thread);
		if (r == 0 && k->handler->thread)
			k->handler->thread(k->handler->data, &thread);
		return r;
	case KYMO_RECORD_END:
	case KYMO_RECORD_REPLACED:
		r = decode_task_record(data, size, &task);
		if (r == 0)
			(void)order_add(&k->order, ORDER_ACCOUNT, task.head.time_ns, data, size,
					NULL, 0);
		return r;
	case KYMO_RECORD_OOM:
		r = decode_oom(data, size, &oom);
		if (r == 0)
			(void)order_add(&k->order, ORDER_OOM, oom->head.time_ns, data, size, NULL,
					0);
		return r;
	case KYMO_RECORD_EXEC:
		r = decode_exec(data, size, &event);
		if (r == 0)
			(void)order_add(&k->order, ORDER_EXEC, event.time_ns, data, size, NULL, 0);
		return r;
	default:
		if (r > 0)
			k->unknown++;
		return r;
	}
}

int ring_on_record(void *context, void *data, size_t size)
{
	struct kern *k = context;

	if (take(k, data, size) < 0)
		k->malformed++;
	return 0; /* what else is in the ring is not its fault */
}

void ring_on_event(void *context, const struct process_event *event)
{
	struct kern *k = context;

	(void)order_add(&k->order, ORDER_EVENT, event->time_ns, event, sizeof(*event), event->path,
			strlen(event->path) + 1);
}

static void deliver_sample(struct kern *k, const struct raw_sample *sample)
{
	const struct kern_handler *h = k->handler;

	if (sample->head->head.flags & KYMO_SAMPLE_BEGINS) {
		if (h->begun)
			h->begun(h->data, sample);
	} else if (!(sample->head->head.flags & KYMO_SAMPLE_OF_OOM)) {
		h->sample(h->data, sample);
	} else if (h->oom_stack) {
		h->oom_stack(h->data, sample);
	}
}

static void deliver_account(const struct kern_handler *h, const struct kymo_task *task)
{
	if (task->head.type == KYMO_RECORD_END && h->ended)
		h->ended(h->data, task);
	if (task->head.type == KYMO_RECORD_REPLACED && h->replaced)
		h->replaced(h->data, task);
}

static void deliver(void *context, enum order_kind kind, void *data, size_t size)
{
	struct kern *k = context;
	struct process_event *event = data, exec;
	const struct kymo_oom *oom;
	struct raw_sample sample;
	struct kymo_task task;

	if (kind == ORDER_OOM) {
		if (k->handler->oom && decode_oom(data, size, &oom) == 0)
			k->handler->oom(k->handler->data, oom);
		return;
	}
	if (kind == ORDER_ACCOUNT) {
		if (decode_task_record(data, size, &task) == 0)
			deliver_account(k->handler, &task);
		return;
	}
	if (kind == ORDER_EVENT) {
		event->path = (const char *)(event + 1);
		k->handler->process(k->handler->data, event);
		return;
	}
	if (kind == ORDER_EXEC) {
		if (decode_exec(data, size, &exec) == 0)
			k->handler->process(k->handler->data, &exec);
		return;
	}
	if (decode_sample(data, size, &sample) == 0)
		deliver_sample(k, &sample);
}

/* What happened on a CPU before its ring was there is read from /proc, as after a loss. */
static void tell_lost(struct kern *k)
{
	const struct process_event event = { .kind = PROCESS_LOST,
					     .time_ns = clock_mono_ns(),
					     .path = "" };

	ring_on_event(k, &event);
}

/* Where there is no memory or no descriptor for it: at the next poll. */
static void follow_cpus(struct kern *k, const uint32_t *cpus, size_t n)
{
	int came = sideband_follow(k->sideband, cpus, n);

	if (came > 0)
		tell_lost(k);
	if (came >= 0 && events_follow(k, cpus, n) == 0)
		cpus_watch_followed(&k->cpus);
}

int kern_poll(struct kern *k, uint64_t until_ns, const struct kern_handler *handler)
{
	_cleanup_free_ uint32_t *cpus = NULL;
	size_t n = 0;
	int changed = cpus_watch_changed(&k->cpus, &cpus, &n), r;

	k->handler = handler;
	sideband_drain(k->sideband, ring_on_event, k);
	if (changed > 0)
		follow_cpus(k, cpus, n);
	r = ring_buffer__consume(k->ring);
	if (r >= 0)
		r = order_deliver(&k->order, until_ns, deliver, k);
	k->handler = NULL;
	return r < 0 ? r : 0;
}
