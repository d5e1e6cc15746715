/* SPDX-License-Identifier: Apache-2.0 */
/* Who held the lock of Python interpreters, who waited for it, and for whom. */
#ifndef KYMO_QUERY_GIL_H
#define KYMO_QUERY_GIL_H

#include <stddef.h>
#include <stdint.h>

#include "model/sample.h"
#include "query/query.h"

struct query_gil_times {
	uint64_t holding_ns; /* on the CPU, with the lock: estimated by samples of the clock */
	uint64_t held_ns;    /* off the CPU, with it */
	uint64_t waiting_ns; /* asleep for it */
	uint64_t without_ns; /* on the CPU, without it: estimated, as holding */
	uint64_t gc_ns;	     /* of holding: in a collection */
	uint64_t waits;	     /* samples: of a storm fewer than there were */
};

struct query_gil_thread {
	const struct process *process; /* both valid until the profile is closed */
	const struct thread *thread;
	struct query_gil_times times;
	uint32_t of; /* index of its process */
};

struct query_gil_process {
	const struct process *process;
	struct query_gil_times times; /* of its threads together */
	uint32_t threads;
	uint32_t place; /* private */
};

/* Whose code waited for whose. */
struct query_gil_pair {
	const struct process *process;
	const struct function *waiter; /* innermost Python function; NULL = none known */
	const struct function *holder;
	const char *name; /* of the thread that held it; NULL: nobody was met with it meanwhile */
	uint64_t waiting_ns, waits;
};

struct query_gil {
	struct query_gil_process
		*processes; /* all three: the longest waiting first, then the longest holding */
	size_t processes_n, processes_cap;
	struct query_gil_thread *threads;
	size_t threads_n, threads_cap;
	struct query_gil_pair *pairs;
	size_t pairs_n, pairs_cap;
	struct query_gil_times total;
	uint64_t duration_ns; /* of the selected ticks together */
	uint32_t damaged_ticks;
};

/* 0 or -errno (profile_message says why). */
int query_gil(struct profile *p, const struct query_selection *s, struct query_gil *ret);
void query_gil_release(struct query_gil *g);

#endif
