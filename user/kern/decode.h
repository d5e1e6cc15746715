/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as they come out of the rings -> checked views. Pure functions over bytes: everything
 * that a reader of the view relies on (sizes, counts, enums, terminated strings) has been checked.
 */
#ifndef KYMO_KERN_DECODE_H
#define KYMO_KERN_DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "kern/kern.h"

/* The type (enum kymo_record_type) of a record of the sample ring, or -EBADMSG. */
int decode_type(const void *data, size_t size);

/* Views into data, which is aligned to 8 bytes. 0 or -EBADMSG. */
int decode_sample(const void *data, size_t size, struct raw_sample *ret);
int decode_code(const void *data, size_t size, struct kern_code *ret);

int decode_thread(const void *data, size_t size, struct kern_thread *ret);

/* KYMO_RECORD_EXEC as an event, whose args point into data. 0 or -EBADMSG. */
int decode_exec(const void *data, size_t size, struct process_event *ret);

/* sample_id_all appends the time alone to each sideband record (sideband.c opens the event so). */
#define SIDEBAND_TRAILER_BYTES 8

/*
 * A perf record of the sideband (struct perf_event_header and what follows). 1: *ret is an event,
 * its path points into data; 0: a record of no interest; -EBADMSG.
 */
int decode_sideband(const void *data, size_t size, struct process_event *ret);

/* KYMO_RECORD_TASK or KYMO_RECORD_END, copied. 0 or -EBADMSG. */
int decode_task_record(const void *data, size_t size, struct kymo_task *ret);

/* KYMO_RECORD_STANDING: a view into data, its kernel frames behind it. 0 or -EBADMSG. */
int decode_standing(const void *data, size_t size, const struct kymo_standing **ret);

/* KYMO_RECORD_WAITED: a view into data. 0 or -EBADMSG. */
int decode_waited(const void *data, size_t size, const struct kymo_waited **ret);

/* KYMO_RECORD_OOM: a view into data. 0 or -EBADMSG. */
int decode_oom(const void *data, size_t size, const struct kymo_oom **ret);

#endif
