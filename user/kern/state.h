/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of struct kern: private to user/kern. */
#ifndef KYMO_KERN_STATE_H
#define KYMO_KERN_STATE_H

#include <bpf/libbpf.h>
#include <stdbool.h>

#include "base/buf.h"
#include "kern/kern.h"
#include "kern/order.h"
#include "kern/sideband.h"
#include "kern/waits.h"

struct kymo_bpf;
struct tables;
struct probes;

/* An attached event; of no CPU: EVENT_EVERYWHERE. */
struct event_link {
	struct bpf_link *link;
	uint32_t cpu;
};
#define EVENT_EVERYWHERE UINT32_MAX

/* cpus.c */
struct cpus_watch {
	int fd;
	struct buf seen, now; /* the list's text, as it was followed, and is */
};

struct kern {
	struct kymo_bpf *skeleton;
	struct ring_buffer *ring;
	struct tables *unwind;
	struct probes *probes; /* attached ones */
	struct sideband *sideband;
	struct order order;
	struct waits waits;
	struct cpus_watch cpus;
	struct event_link *links; /* an event per CPU and kind, a tracepoint: while it samples */
	size_t links_n, links_cap;
	bool sampling;
	uint32_t sources;
	uint64_t cpu_period_ns;
	uint32_t fault_period;
	int stats_fd; /* keeps the kernel's measuring of programs on */
	uint64_t malformed;
	uint64_t unknown; /* records of a type that this version does not know */

	const struct kern_handler *handler; /* during kern_poll */
};

/* events.c: what samples, attached: events on every online CPU, the tracepoint. 0 or -errno, nothing attached then. */
int events_start(struct kern *k);
/* The CPUs that are online now are others than before: theirs come and go. 0 or -errno. */
int events_follow(struct kern *k, const uint32_t *cpus, size_t n);
/* Stops and closes all. */
void events_stop(struct kern *k);

/* ring.c: a record of the sample ring; for ring_buffer__new. */
int ring_on_record(void *context, void *data, size_t size);
/* sideband.c hands each event here. */
void ring_on_event(void *context, const struct process_event *event);

/* unwind.c: the tables of kern_set_unwind, with the vDSO's in them. 0 or -errno. */
int unwind_open(struct kern *k);
void unwind_close(struct kern *k);
void unwind_stats(const struct kern *k, struct kern_stats *stats); /* its part of them */

/* probes.c: those of kern_attach_probes. 0 or -ENOMEM. */
int probes_open(struct kern *k);
void probes_close(struct kern *k);
/* Whether what they hit is recorded. */
void probes_switch(struct kern *k, bool on);

/* cpus.c: numbers of the online CPUs, malloced. 0 or -errno. */
int cpus_online(uint32_t **ret, size_t *ret_n);
int cpus_parse(const char *list, uint32_t **ret, size_t *ret_n);
bool cpus_have(const uint32_t *cpus, size_t n, uint32_t cpu);

/* The online CPUs from here on. 0 or -errno. */
int cpus_watch_open(struct cpus_watch *w);
void cpus_watch_close(struct cpus_watch *w);
/* 1: they are others than those of cpus_watch_followed, malloced in *ret; 0; -errno. */
int cpus_watch_changed(struct cpus_watch *w, uint32_t **ret, size_t *ret_n);
void cpus_watch_followed(struct cpus_watch *w);

#endif
