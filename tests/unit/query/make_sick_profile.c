/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a profile of a host that ran out of memory: ten ticks, from the seventh on under pressure.
 * make_sick_profile OUTPUT [killed]
 *
 * grower (500) computes in `serve`, from tick 7 on in `allocate`, where it faults; reader (600) reads and writes;
 * short (700..) ends in every tick. Weights do not divide evenly by counts.
 */
#include "unit/test.h"

#include <string.h>
#include <unistd.h>

#include "unit/support/profile_maker.h"

#define SICK_FROM 6

struct stacks {
	uint32_t serve, allocate, read, flush, outer;
	uint32_t outer_frame;
};

static void make_stacks(struct maker *m, struct stacks *s)
{
	uint32_t server = maker_binary(m, BINARY_FILE, "/usr/bin/server");
	uint32_t root = maker_stack(
		m, 0, maker_named_frame(m, FRAME_PYTHON, "main", "/srv/app/main.py", 10));

	s->serve = maker_stack(m, root,
			       maker_named_frame(m, FRAME_PYTHON, "serve", "/srv/app/web.py", 20));
	/* recursive: on the stack twice, counted once */
	s->serve = maker_stack(m, s->serve, m->frames);
	s->allocate = maker_stack(
		m, s->serve,
		maker_frame(m, FRAME_NATIVE, server, 0x40,
			    maker_function(m, FRAME_NATIVE, server, "allocate", "alloc.c", 7)));
	s->read = maker_stack(m, root, maker_named_frame(m, FRAME_NATIVE, "read;all", "", 0));
	s->outer_frame = maker_frame(m, FRAME_NATIVE, server, 0xc0,
				     maker_function(m, FRAME_NATIVE, server, "outer", "o.c", 1));
	s->outer = maker_stack(m, root, s->outer_frame);
	s->flush = maker_stack(m, root, maker_frame(m, FRAME_NATIVE, server, 0x80, 0));
}

/* Two functions inlined in `outer`, told when the frame was long there. */
static void make_inlined(struct maker *m, const struct stacks *s)
{
	struct function functions[] = {
		{ .id = m->functions + 1, .kind = FRAME_NATIVE, .name = "middle", .file = "m.c" },
		{ .id = m->functions + 2, .kind = FRAME_NATIVE, .name = "inner", .file = "i.c" },
	};
	struct frame_inline inlines[] = {
		{ .frame = s->outer_frame, .depth = 1, .function = m->functions + 1, .line = 5 },
		{ .frame = s->outer_frame, .depth = 2, .function = m->functions + 2, .line = 6 },
	};
	const struct late_names names = {
		.functions = functions, .functions_n = 2, .inlines = inlines, .inlines_n = 2
	};

	assert_int_equal(store_write_names(m->store, &names), 0);
}

static void account(struct maker *m, uint32_t process, bool ended, int64_t cpu_ns, int64_t pages)
{
	const struct seen change = { .cpu_ns = cpu_ns,
				     .rss_anon_pages = ended ? 0 : pages,
				     .minor_faults = pages,
				     .voluntary_switches = 3 };

	maker_account(m, process, ended, &change);
}

static void make_tick(struct maker *m, const struct stacks *s, uint32_t tick, uint32_t grower,
		      uint32_t reader)
{
	const bool sick = tick >= SICK_FROM;
	const struct seen grew = { .rss_anon_pages = sick ? 50 : -7, .rss_file_pages = 1 };
	uint32_t brief = maker_thread(m, 700 + tick, tick % 2 ? "short" : "brief");

	maker_row_of(m, grower, s->serve, KYMO_SOURCE_CPU, KYMO_END_WHOLE, 7, 70000003);
	maker_row_seen(m, grower, s->allocate, sick ? 40 : 2, &grew);
	maker_row_of(m, grower, s->allocate, KYMO_SOURCE_FAULT, KYMO_END_WHOLE, sick ? 5 : 1,
		     sick ? 500 * 4096 : 4096);
	maker_row_of(m, reader, s->read, KYMO_SOURCE_CPU, KYMO_END_FP_ZERO, 3, 30000001);
	maker_row_of(m, reader, s->read, KYMO_SOURCE_IO, KYMO_END_WHOLE, 2, 1048576);
	maker_row_of(m, reader, s->flush, KYMO_SOURCE_IO, KYMO_END_WHOLE, 1, 65536);
	m->tick.rows[m->tick.rows_n - 1].state |= KYMO_STATE_IO_WRITE;
	maker_row(m, reader, s->outer, 1);
	maker_row(m, brief, 0, 1);
	maker_event(m, EVENT_OOM_KILL, sick ? grower : 0, tick, "{\"pid\":500}");
	maker_health(m, HEALTH_cpu_user_ns, 900000000);
	maker_health(m, HEALTH_cpu_idle_ns, 1100000000);
	maker_health(m, HEALTH_psi_mem_some_ns, sick ? 200000000 + 10000000 * tick : 1000000);
	maker_health(m, HEALTH_mem_total_bytes, 25281114112);
	maker_quality(m, "bpf.samples", 54);
	account(m, grower, false, 480000000, 1000 + (sick ? 500 * (tick - SICK_FROM + 1) : 0));
	account(m, reader, false, 31000000, 300);
	account(m, brief, true, 9000000 + tick, 0);
	maker_close_tick(m);
}

int main(int argc, char **argv)
{
	uint32_t grower, reader;
	struct stacks s;
	struct maker m;

	if (argc < 2)
		return 1;
	maker_init_at(&m, argv[1]);
	assert_int_equal(store_set_meta(m.store, "sources", "cpu,fault,io"), 0);
	make_stacks(&m, &s);
	grower = maker_thread(&m, 500, "grower");
	reader = maker_thread(&m, 600, "reader");
	for (uint32_t tick = 0; tick < 10; tick++)
		make_tick(&m, &s, tick, grower, reader);
	make_inlined(&m, &s);
	if (argc > 2 && strcmp(argv[2], "killed") == 0)
		_exit(0); /* as a kill: nobody closes the file */
	maker_finish(&m, true);
	return 0;
}
