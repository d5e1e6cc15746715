/* SPDX-License-Identifier: Apache-2.0 */
/* The host's health over one tick, as plain data. */
#ifndef KYMO_MODEL_HEALTH_H
#define KYMO_MODEL_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum health_column {
#define HEALTH(column, metric, unit, kind) HEALTH_##column,
#include "model/health.def"
#undef HEALTH
	HEALTH_MAX,
};

enum health_kind { HEALTH_COUNTER, HEALTH_GAUGE };

struct health_column_info {
	const char *column; /* in SQL and conditions */
	const char *metric; /* OpenTelemetry's name */
	const char *unit;
	enum health_kind kind;
};

extern const struct health_column_info health_columns[HEALTH_MAX];

/* One value of a metric that has labels (per CPU, device, cgroup). Non-zero ones only. */
struct health_label {
	uint32_t metric; /* an id of the tick's `metrics`, counted from 1 for the whole recording */
	int64_t value;
};

/* A labelled metric, told once, in the tick in which it first appears. Strings owned by the holder. */
struct health_metric {
	uint32_t id;
	char *name;   /* "system.cpu.time" */
	char *labels; /* "cpu=0,cpu.mode=user" */
	char *unit;
	enum health_kind kind;
};

struct health {
	int64_t value[HEALTH_MAX];
	bool present[HEALTH_MAX];
	struct health_label *labels;
	size_t labels_n;
	struct health_metric *metrics; /* new ones */
	size_t metrics_n;
	uint32_t read_errors;
};

void health_release(struct health *h);

#endif
