/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KYMO_CMD_RECORD_SUMMARY_H
#define KYMO_CMD_RECORD_SUMMARY_H

#include <stdbool.h>
#include <stdint.h>

/* To standard error, for a terminal: the profile that has just been written, and how many samples were lost; next: and what to do with it. */
void record_summary(const char *path, uint64_t lost, bool next);

#endif
