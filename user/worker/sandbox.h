/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/worker: what the helper processes give up before they touch a foreign byte. */
#ifndef KYMO_WORKER_SANDBOX_H
#define KYMO_WORKER_SANDBOX_H

#include <stdint.h>

/* An unprivileged user that owns nothing. */
#define SANDBOX_UID	     65534

#define SANDBOX_MEMORY_BYTES (1ULL << 30)
#define SANDBOX_CPU_SECONDS  600

/*
 * The parser: no privileges, no files, no processes, bounded memory and CPU; it can read
 * descriptors that it was given, and speak on descriptor 3. 0 or -errno; there is no way back, and after an
 * error the process must end.
 */
int sandbox_parser(void);
/* The opener: opens files as root does, and can do nothing else. */
int sandbox_opener(void);

#endif
