/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/net: interfaces, TCP, and the kernel's queue of received packets. */
#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/array.h"
#include "health/source.h"

#define RECEIVE	 "network.io.direction=receive"
#define TRANSMIT "network.io.direction=transmit"

const struct series interface_series[] = {
	{ "system.network.io", RECEIVE, "By", HEALTH_COUNTER, HEALTH_net_receive_bytes },
	{ "system.network.packet.count", RECEIVE, "{packet}", HEALTH_COUNTER,
	  HEALTH_net_receive_packets },
	{ "system.network.errors", RECEIVE, "{error}", HEALTH_COUNTER, HEALTH_net_errors },
	{ "system.network.packet.dropped", RECEIVE, "{packet}", HEALTH_COUNTER, HEALTH_net_drops },
	{ "system.network.io", TRANSMIT, "By", HEALTH_COUNTER, HEALTH_net_transmit_bytes },
	{ "system.network.packet.count", TRANSMIT, "{packet}", HEALTH_COUNTER,
	  HEALTH_net_transmit_packets },
	{ "system.network.errors", TRANSMIT, "{error}", HEALTH_COUNTER, HEALTH_net_errors },
	{ "system.network.packet.dropped", TRANSMIT, "{packet}", HEALTH_COUNTER, HEALTH_net_drops },
};
const size_t interface_series_n = ARRAY_SIZE(interface_series);

/* Of the 16 numbers behind the name: bytes packets errs drop fifo frame compressed multicast,
 * received and then bytes packets errs drop fifo colls carrier compressed, transmitted. */
static const uint8_t fields[] = { 0, 1, 2, 3, 8, 9, 10, 11 };

#define FIELDS 12

/* An interface with a device below it: bridges, bonds, VLANs and veths show the same packets
 * again. */
static bool has_device(const struct instruments *in, const struct member *interface)
{
	char path[MEMBER_NAME_MAX + 32];

	if (in->sys_fd < 0)
		return false;
	snprintf(path, sizeof(path), "class/net/%s/device", interface->name);
	return faccessat(in->sys_fd, path, F_OK, 0) == 0;
}

static void interface_line(struct instruments *in, struct span name, struct span line)
{
	struct reading *r = &in->reading;
	uint64_t values[FIELDS];
	struct member *m;
	bool new;

	for (size_t i = 0; i < FIELDS; i++) {
		if (!span_u64(&line, &values[i])) {
			r->errors++;
			return;
		}
	}
	m = set_member(r, &in->interfaces, &name, &new);
	if (!m)
		return;
	if (new)
		m->real = has_device(in, m);
	/* In a network namespace there may be none with a device (or no sysfs): then all but lo
	 * count. */
	m->counts = m->real || (!in->real_interfaces && strcmp(m->name, "lo") != 0);
	for (size_t i = 0; i < interface_series_n; i++)
		set_value(r, &in->interfaces, m, i, values[fields[i]], 1);
}

void source_net_dev(struct instruments *in, const struct source *source, struct span text)
{
	struct span line;

	(void)source;
	while (span_line(&text, &line)) {
		const char *colon;

		span_skip_blank(&line);
		/* The last one: names may hold colons (alias interfaces). The two lines of the
		 * head have none. */
		colon = memrchr(line.p, ':', span_size(&line));
		if (colon)
			interface_line(in, (struct span){ line.p, colon },
				       (struct span){ colon + 1, line.end });
	}
	in->real_interfaces = false;
	for (size_t i = 0; i < in->interfaces.n; i++) {
		const struct member *m = &in->interfaces.members[i];

		if (m->real && m->seen == in->reading.number)
			in->real_interfaces = true;
	}
}

/* Pairs of lines: "Tcp: RtoAlgorithm ... RetransSegs", "Tcp: 1 ... 0". */
static void named_column(struct reading *r, struct span names, struct span values, const char *key,
			 enum health_column column)
{
	struct span name;
	uint64_t value;

	while (span_word(&names, &name)) {
		bool number = span_u64(&values, &value); /* MaxConn is -1 */

		if (!span_is(&name, key))
			continue;
		if (number)
			reading_add(r, column, value, 1);
		else
			r->errors++;
		return;
	}
}

/* snmp and netstat have the same form; no protocol is in both. */
void source_net_snmp(struct instruments *in, const struct source *source, struct span text)
{
	struct span names, values;

	(void)source;
	while (span_line(&text, &names) && span_line(&text, &values)) {
		if (span_starts(&names, "Tcp: ") && span_starts(&values, "Tcp: "))
			named_column(&in->reading, names, values, "RetransSegs",
				     HEALTH_tcp_retransmits);
		if (span_starts(&names, "TcpExt: ") && span_starts(&values, "TcpExt: "))
			named_column(&in->reading, names, values, "ListenOverflows",
				     HEALTH_tcp_listen_overflows);
	}
}

static bool span_hex32(struct span *s, uint64_t *ret)
{
	struct span word;
	uint64_t v = 0;

	if (!span_word(s, &word) || span_size(&word) > 8)
		return false;
	for (; word.p < word.end; word.p++) {
		const char digits[] = "0123456789abcdef";
		const char *digit = *word.p ? strchr(digits, *word.p) : NULL;

		if (!digit)
			return false;
		v = v << 4 | (uint64_t)(digit - digits);
	}
	*ret = v;
	return true;
}

/* A line per CPU, hexadecimal, 32 bits: processed, dropped, time_squeeze, ... */
void source_softnet(struct instruments *in, const struct source *source, struct span text)
{
	struct span line;
	uint64_t processed, dropped, squeezed;

	(void)source;
	while (span_line(&text, &line)) {
		if (!span_hex32(&line, &processed) || !span_hex32(&line, &dropped) ||
		    !span_hex32(&line, &squeezed)) {
			in->reading.errors++;
			continue;
		}
		reading_add(&in->reading, HEALTH_softnet_dropped, dropped, 1);
		reading_add(&in->reading, HEALTH_softnet_squeezed, squeezed, 1);
	}
}
