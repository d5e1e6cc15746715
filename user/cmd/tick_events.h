/* SPDX-License-Identifier: Apache-2.0 */
/* The events of a tick in a line for each kind. */
#ifndef KYMO_CMD_TICK_EVENTS_H
#define KYMO_CMD_TICK_EVENTS_H

#include "cmd/screen.h"
#include "query/events.h"

/* Those of one tick: `n` from `first` on. 0 or -ENOMEM. */
int print_tick_events(struct screen *s, const struct query_event *first, size_t n, int indent);

#endif
