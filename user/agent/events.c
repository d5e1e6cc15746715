/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/events.h"

#include <errno.h>
#include <inttypes.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/text.h"

static int put_gc(struct buf *out, const struct kymo_probe *p)
{
	int r = buf_printf(out, "{");

	if (r == 0 && p->generation >= 0)
		r = buf_printf(out, "\"generation\":%" PRId32 ",", p->generation);
	if (r == 0 && p->value_known)
		r = buf_printf(out, "\"collected\":%lld,", (long long)p->value);
	return r;
}

static int put_import(struct buf *out, const struct kymo_probe *p)
{
	int r = buf_printf(out, "{\"name\":");

	if (r == 0)
		r = text_append_json(out, p->name);
	if (r == 0 && p->value_known)
		r = buf_printf(out, ",\"found\":%s", p->value ? "true" : "false");
	return r == 0 ? buf_printf(out, ",\"depth\":%" PRIu32 ",", p->depth) : r;
}

int event_of_probe(const struct raw_sample *sample, uint32_t thread, struct event *ret)
{
	const struct kymo_probe *p = sample->probe;
	bool gc = sample->head->source == KYMO_SOURCE_GC;
	struct buf fields = { 0 };
	int r = gc ? put_gc(&fields, p) : put_import(&fields, p);

	if (r == 0)
		r = buf_printf(&fields, "\"rss_before_bytes\":%lld,\"rss_after_bytes\":%lld}",
			       (long long)p->rss_before_bytes, (long long)p->rss_after_bytes);
	if (r == 0 && !buf_str(&fields))
		r = -ENOMEM;
	if (r < 0) {
		buf_release(&fields);
		return r;
	}
	*ret = (struct event){ .kind = gc ? EVENT_GC : EVENT_IMPORT,
			       .time_ns = p->start_ns,
			       .duration_ns = p->duration_ns,
			       .thread = thread,
			       .fields = (char *)fields.data };
	return 0;
}
