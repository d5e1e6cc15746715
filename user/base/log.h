/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line to standard error, escaped for a terminal, with "kymo: " before it.
 * Only cmd/ and agent/ speak to people; libraries return errors.
 */
#ifndef KYMO_BASE_LOG_H
#define KYMO_BASE_LOG_H

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_MAX
};

void log_set_level(enum log_level level); /* default: LOG_LEVEL_INFO */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)	 log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	 log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
