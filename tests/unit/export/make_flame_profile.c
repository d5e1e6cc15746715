/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes a profile whose every figure is known: what the tests of the flame graph look at.
 * make_flame_profile OUTPUT [hostile]
 *
 * web (60 %): main -> serve -> {render 30, query 20, query;sys_read 5}, main -> serve -> render -> escape 5
 * db (38 %): native; kworker (2 %): kernel. 1,000 samples in 10 ticks.
 */
#include "unit/test.h"

#include <stdio.h>

#include "unit/support/profile_maker.h"

static const char *const hostile[] = {
	"<script>document.title='owned'</script>",
	"\"><image href=\"x\" onerror=\"document.title='owned'\"/>",
	"]]></script><script>document.title='owned'</script>",
	"a;b\nc\td\033[31mred\001",
	"&amp;&lt;already&gt;",
	"'); document.title='owned'; ('",
	"\xe2\x80\xaegnp.exe",
	"\xff\xfe invalid \x80",
	"]]>&quot;}</metadata><script>document.title='owned'</script>",
	"<module>", /* what a C++ demangler would take for template arguments */
};

static void make_health(struct maker *m, uint32_t tick)
{
	maker_health(m, HEALTH_cpu_user_ns, 1200000000 + 50000000 * tick);
	maker_health(m, HEALTH_cpu_system_ns, 200000000);
	maker_health(m, HEALTH_cpu_iowait_ns, 30000000);
	maker_health(m, HEALTH_cpu_idle_ns, 570000000 - 50000000 * tick);
	maker_health(m, HEALTH_procs_running, 2 + tick % 3);
	maker_health(m, HEALTH_procs_blocked, tick == 7);
	maker_health(m, HEALTH_psi_cpu_some_ns, 20000000 * tick);
	maker_health(m, HEALTH_psi_mem_some_ns, tick == 7 ? 310000000 : 0);
	maker_health(m, HEALTH_psi_mem_full_ns, tick == 7 ? 120000000 : 0);
	maker_health(m, HEALTH_psi_io_some_ns, 5000000 * tick);
	maker_health(m, HEALTH_psi_io_full_ns, 2000000 * tick);
	maker_health(m, HEALTH_mem_total_bytes, 25281114112);
	maker_health(m, HEALTH_mem_available_bytes, 23281114112 - 100000000LL * tick);
	maker_health(m, HEALTH_mem_free_bytes, 13281114112 - 100000000LL * tick);
	maker_health(m, HEALTH_swap_total_bytes, 0);
	maker_health(m, HEALTH_swap_free_bytes, 0);
	maker_health(m, HEALTH_context_switches, 1500 + tick * 321);
	maker_health(m, HEALTH_interrupts, 800 + tick);
	maker_health(m, HEALTH_swap_in_pages, 0);
	maker_health(m, HEALTH_swap_out_pages, 0);
	maker_health(m, HEALTH_disk_read_bytes, tick == 3 ? 12582912 : 0);
	maker_health(m, HEALTH_disk_write_bytes, 400000);
	maker_health(m, HEALTH_disk_reads, tick == 3 ? 96 : 0);
	maker_health(m, HEALTH_disk_writes, 14);
}

struct stacks {
	uint32_t render, escape, query, read, db, kworker;
};

static void make_names(struct maker *m, struct stacks *s)
{
	uint32_t postgres = maker_binary(m, BINARY_FILE, "/usr/lib/postgresql/15/bin/postgres");
	uint32_t libc = maker_binary(m, BINARY_FILE, "/usr/lib/x86_64-linux-gnu/libc.so.6");
	uint32_t kernel = maker_binary(m, BINARY_KERNEL, "[kernel]");
	uint32_t start, serve, run, hash, syscall;

	start = maker_stack(m, 0, maker_named_frame(m, FRAME_PYTHON, "main", "/srv/web/app.py", 3));
	serve = maker_stack(m, start,
			    maker_named_frame(m, FRAME_PYTHON, "Server.serve", "/srv/web/server.py",
					      40));
	s->render = maker_stack(
		m, serve,
		maker_named_frame(m, FRAME_PYTHON, "Template.render",
				  "/usr/lib/python3/dist-packages/jinja2/environment.py", 1277));
	s->escape = maker_stack(
		m, s->render,
		maker_frame(m, FRAME_NATIVE, libc, 0x1000,
			    maker_function(m, FRAME_NATIVE, libc, "escape_unicode", "", 0)));
	s->query = maker_stack(m, serve,
			       maker_named_frame(m, FRAME_PYTHON, "query", "/srv/web/db.py", 88));
	syscall = maker_frame(m, FRAME_KERNEL, kernel, 0x77,
			      maker_function(m, FRAME_KERNEL, kernel, "do_syscall_64", "", 0));
	s->read = maker_stack(
		m, maker_stack(m, s->query, syscall),
		maker_frame(m, FRAME_KERNEL, kernel, 0x99,
			    maker_function(m, FRAME_KERNEL, kernel, "sys_read", "", 0)));
	run = maker_stack(
		m, 0,
		maker_frame(m, FRAME_NATIVE, postgres, 0x10,
			    maker_function(m, FRAME_NATIVE, postgres, "PostgresMain", "", 0)));
	hash = maker_frame(m, FRAME_NATIVE, postgres, 0x20,
			   maker_function(m, FRAME_NATIVE, postgres, "ExecHashJoin", "", 0));
	s->db = maker_stack(m, run, hash);
	s->kworker = maker_stack(m, 0, maker_named_frame(m, FRAME_KERNEL, "ret_from_fork", "", 0));
	s->kworker = maker_stack(m, s->kworker,
				 maker_named_frame(m, FRAME_KERNEL, "worker_thread", "", 0));
}

static void make_hostile(struct maker *m, uint32_t thread)
{
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		uint32_t frame = maker_named_frame(m, FRAME_PYTHON, hostile[i], hostile[i], 1);

		maker_row(m, thread, maker_stack(m, 0, frame), 100);
	}
}

int main(int argc, char **argv)
{
	uint32_t web, db, kworker;
	struct stacks s;
	struct maker m;

	if (argc < 2)
		return 1;
	maker_init_at(&m, argv[1]);
	make_names(&m, &s);
	web = maker_thread(&m, 4242, "web");
	db = maker_thread(&m, 777, argc > 2 ? "<b>&\"'db" : "postgres");
	kworker = maker_thread(&m, 33, "kworker/1:2");
	for (uint32_t tick = 0; tick < 10; tick++) {
		maker_row(&m, web, s.render, 30);
		maker_row(&m, web, s.escape, 5);
		maker_row(&m, web, s.query, 20);
		maker_row(&m, web, s.read, 5);
		maker_row_of(&m, db, s.db, KYMO_SOURCE_CPU, KYMO_END_FP_ZERO, 38,
			     38 * MAKER_PERIOD_NS);
		maker_row(&m, kworker, s.kworker, 2);
		make_health(&m, tick);
		if (argc > 2 && tick == 0)
			make_hostile(&m, web);
		maker_close_tick(&m);
	}
	maker_finish(&m, true);
	return 0;
}
