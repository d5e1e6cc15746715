/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the host's health through descriptors that stay open: the change since the previous
 * reading for counters, the reading itself for gauges. Sources: proc(5),
 * Documentation/accounting/psi.rst, Documentation/admin-guide/iostats.rst.
 */
#ifndef KYMO_HEALTH_HEALTH_H
#define KYMO_HEALTH_HEALTH_H

#include "model/health.h"

struct health_reader;

/* proc is "/proc" (tests give a folder of their own). Missing files are absent metrics, not
 * errors. Takes the first reading. */
int health_reader_new(const char *proc, struct health_reader **ret);
void health_reader_free(struct health_reader *r);
/* Reads now, for a tick that has just ended (CLOCK_MONOTONIC; 0 = for none); *ret gets the changes since the reading before. A counter that went backwards is
 * absent in this tick. Fills ret->metrics with labelled metrics seen for the first time. */
int health_read(struct health_reader *r, uint64_t tick_end_ns, struct health *ret);
/* For a new profile: from the next reading on labelled metrics are new again, with ids from 1. */
void health_renew(struct health_reader *r);

#endif
