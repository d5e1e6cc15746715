/* SPDX-License-Identifier: Apache-2.0 */
/* What a probe told, as an event of the profile. */
#ifndef KYMO_AGENT_EVENTS_H
#define KYMO_AGENT_EVENTS_H

#include "model/sample.h"
#include "model/tick.h"

/* Of a sample with a probe. *ret's fields are malloced. 0 or -ENOMEM. */
int event_of_probe(const struct raw_sample *sample, uint32_t thread, struct event *ret);

#endif
