/* SPDX-License-Identifier: Apache-2.0 */
/* Health from a /proc and /sys of the test's own: changes, gauges, absence, and what goes wrong. */
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "health/health.h"
#include "health/source.h"
#include "unit/support/tree.h"

#define JIFFY 10000000LL /* USER_HZ is 100 on every architecture that we know */

struct fixture {
	char root[64];
	char proc[80];
	struct health_reader *r;
	struct health h;
	struct health_metric told[4096]; /* by id - 1, of all readings */
	size_t told_n;
};

static void put(const struct fixture *f, const char *path, const char *text)
{
	tree_put(f->root, path, text);
}

static void put_dir(const struct fixture *f, const char *path)
{
	char file[128];

	snprintf(file, sizeof(file), "%s/keep", path);
	put(f, file, "");
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	strcpy(f->root, "/tmp/kymo-health-XXXXXX");
	assert_non_null(mkdtemp(f->root));
	snprintf(f->proc, sizeof(f->proc), "%s/proc", f->root);
	put_dir(f, "proc");
	*state = f;
	return 0;
}

static void forget(struct fixture *f)
{
	health_release(&f->h);
	f->h = (struct health){ 0 };
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	health_reader_free(f->r);
	forget(f);
	for (size_t i = 0; i < f->told_n; i++) {
		free(f->told[i].name);
		free(f->told[i].labels);
		free(f->told[i].unit);
	}
	tree_remove(f->root, "");
	free(f);
	return 0;
}

static void start(struct fixture *f)
{
	assert_int_equal(health_reader_new(f->proc, &f->r), 0);
}

static void reread(struct fixture *f)
{
	forget(f);
	assert_int_equal(health_read(f->r, 0, &f->h), 0);
	for (size_t i = 0; i < f->h.metrics_n; i++) {
		struct health_metric *m = &f->h.metrics[i];

		/* Ids count from 1, each told once. */
		assert_int_equal(m->id, f->told_n + 1);
		assert_true(f->told_n < 4096);
		f->told[f->told_n++] = *m;
		*m = (struct health_metric){ 0 };
	}
}

static int64_t column(const struct fixture *f, enum health_column c)
{
	assert_true(f->h.present[c]);
	return f->h.value[c];
}

/* 0 = not among this reading's labelled values. */
static int64_t labelled(const struct fixture *f, const char *name, const char *labels)
{
	for (size_t i = 0; i < f->h.labels_n; i++) {
		const struct health_metric *m = &f->told[f->h.labels[i].metric - 1];

		if (strcmp(m->name, name) == 0 && strcmp(m->labels, labels) == 0)
			return f->h.labels[i].value;
	}
	return 0;
}

static void cpu_time_is_the_change_in_ns(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/stat",
	    "cpu  100 10 50 1000 20 1 2 3 4 0\n"
	    "cpu0 60 5 25 500 10 1 1 2 4 0\ncpu1 40 5 25 500 10 0 1 1 0 0\n"
	    "intr 1000 5 0 9\nctxt 500\nbtime 1\nprocesses 70\nprocs_running 3\nprocs_blocked 1\n"
	    "softirq 10 1 2\n");
	start(f);
	put(f, "proc/stat",
	    "cpu  150 10 51 1049 19 1 2 3 4 0\n"
	    "cpu0 110 5 26 500 9 1 1 2 4 0\ncpu1 40 5 25 549 10 0 1 1 0 0\n"
	    "intr 1007 5 0 9\nctxt 533\nbtime 1\nprocesses 72\nprocs_running 5\nprocs_blocked 0\n"
	    "softirq 10 1 2\n");
	reread(f);
	assert_int_equal(column(f, HEALTH_cpu_user_ns), 50 * JIFFY);
	assert_int_equal(column(f, HEALTH_cpu_nice_ns), 0);
	assert_int_equal(column(f, HEALTH_cpu_system_ns), JIFFY);
	assert_int_equal(column(f, HEALTH_cpu_idle_ns), 49 * JIFFY);
	/* iowait may go backwards: not known in this tick, and known again in the next. */
	assert_false(f->h.present[HEALTH_cpu_iowait_ns]);
	assert_int_equal(column(f, HEALTH_cpu_guest_ns), 0);
	assert_int_equal(column(f, HEALTH_interrupts), 7);
	assert_int_equal(column(f, HEALTH_context_switches), 33);
	assert_int_equal(column(f, HEALTH_processes_created), 2);
	assert_int_equal(column(f, HEALTH_procs_running), 5);
	assert_int_equal(column(f, HEALTH_procs_blocked), 0);
	assert_int_equal(labelled(f, "system.cpu.time", "cpu=0,cpu.mode=user"), 50 * JIFFY);
	assert_int_equal(labelled(f, "system.cpu.time", "cpu=0,cpu.mode=system"), JIFFY);
	assert_int_equal(labelled(f, "system.cpu.time", "cpu=1,cpu.mode=idle"), 49 * JIFFY);
	/* Only what is not 0. */
	assert_int_equal(f->h.labels_n, 3);
	assert_int_equal(f->h.read_errors, 0);
	reread(f);
	assert_int_equal(column(f, HEALTH_cpu_user_ns), 0);
	assert_int_equal(column(f, HEALTH_cpu_iowait_ns), 0);
	assert_int_equal(f->h.labels_n, 0);
	assert_int_equal(f->told_n, 3);
}

static void cpus_come_and_go(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/stat", "cpu  100 0 0 0 0 0 0 0 0 0\ncpu0 50 0\ncpu1 50 0\n");
	start(f);
	put(f, "proc/stat", "cpu  60 0 0 0 0 0 0 0 0 0\ncpu0 60 0\n");
	reread(f);
	assert_false(f->h.present[HEALTH_cpu_user_ns]);
	assert_int_equal(labelled(f, "system.cpu.time", "cpu=0,cpu.mode=user"), 10 * JIFFY);
	assert_int_equal(f->h.labels_n, 1);
	/* Back again: its counter has no reading just before. */
	put(f, "proc/stat", "cpu  120 0 0 0 0 0 0 0 0 0\ncpu0 60 0\ncpu1 60 0\ncpu2 7 0\n");
	reread(f);
	assert_int_equal(f->h.labels_n, 0);
	put(f, "proc/stat", "cpu  120 0 0 0 0 0 0 0 0 0\ncpu0 60 0\ncpu1 61 0\ncpu2 9 0\n");
	reread(f);
	assert_int_equal(labelled(f, "system.cpu.time", "cpu=1,cpu.mode=user"), JIFFY);
	assert_int_equal(labelled(f, "system.cpu.time", "cpu=2,cpu.mode=user"), 2 * JIFFY);
}

static void memory_is_in_bytes_and_events_are_counted(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/meminfo",
	    "MemTotal:       16384 kB\nMemFree:         100 kB\nCached: 1 kB\nSwapCached: 9 kB\n");
	put(f, "proc/vmstat",
	    "nr_free_pages 5\nallocstall_dma 0\nallocstall_normal 5\nallocstall_movable 1\npgfault "
	    "1000\n"
	    "pgmajfault 10\npgscan_direct 3\npgscan_direct_throttle 100\noom_kill 0\n");
	start(f);
	put(f, "proc/meminfo",
	    "MemTotal:       16384 kB\nMemFree:         90 kB\nCached: 2 kB\nSwapCached: 9 kB\n");
	put(f, "proc/vmstat",
	    "nr_free_pages 5\nallocstall_dma 0\nallocstall_normal 7\nallocstall_movable 2\npgfault "
	    "1500\n"
	    "pgmajfault 11\npgscan_direct 4\npgscan_direct_throttle 900\noom_kill 1\n");
	reread(f);
	assert_int_equal(column(f, HEALTH_mem_total_bytes), 16384 * 1024);
	assert_int_equal(column(f, HEALTH_mem_free_bytes), 90 * 1024);
	assert_int_equal(column(f, HEALTH_mem_cached_bytes), 2 * 1024);
	assert_int_equal(column(f, HEALTH_alloc_stalls), 3);
	assert_int_equal(column(f, HEALTH_faults), 500);
	assert_int_equal(column(f, HEALTH_major_faults), 1);
	assert_int_equal(column(f, HEALTH_scan_direct_pages), 1);
	assert_int_equal(column(f, HEALTH_oom_kills), 1);
	/* Not in the files: absent, not zero. */
	assert_false(f->h.present[HEALTH_mem_available_bytes]);
	assert_false(f->h.present[HEALTH_swap_in_pages]);
	assert_false(f->h.present[HEALTH_cpu_user_ns]);
	assert_false(f->h.present[HEALTH_psi_cpu_some_ns]);
	assert_int_equal(f->h.read_errors, 0);
}

/* Read 3.4 ms late: what was stalled in these is not the tick's. More than the readings explain stays, to be seen. */
static void pressure_is_no_more_than_the_tick(void **state)
{
	(void)state;
	assert_int_equal(pressure_of_tick(998700000, 996500000, 999900000), 996500000);
	assert_int_equal(pressure_of_tick(500000000, 996500000, 999900000), 500000000);
	assert_int_equal(pressure_of_tick(1100000000, 996500000, 999900000), 1100000000);
	assert_int_equal(pressure_of_tick(0, 996500000, 999900000), 0);
}

/* A tick of a millisecond, readings that lie further apart. */
static void pressure_fits_the_tick(void **state)
{
	struct fixture *f = *state;
	const struct timespec apart = { .tv_nsec = 5000000 };

	put(f, "proc/pressure/cpu", "some avg10=1.00 avg60=2.00 avg300=3.00 total=1000\n");
	start(f);
	assert_int_equal(health_read(f->r, 1000000, &f->h), 0);
	forget(f);
	nanosleep(&apart, NULL);
	put(f, "proc/pressure/cpu", "some avg10=1.00 avg60=2.00 avg300=3.00 total=4000\n");
	assert_int_equal(health_read(f->r, 2000000, &f->h), 0);
	assert_int_equal(column(f, HEALTH_psi_cpu_some_ns), 1000000);
}

static void pressure_is_from_the_totals(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/pressure/cpu",
	    "some avg10=1.00 avg60=2.00 avg300=3.00 total=1000\nfull avg10=0.00 total=7\n");
	put(f, "proc/pressure/memory",
	    "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\nfull avg10=0.00 total=3\n");
	put(f, "proc/pressure/irq", "full avg10=0.00 avg60=0.00 avg300=0.00 total=50\n");
	put(f, "proc/loadavg", "1.23 4.56 7.89 1/234 567\n");
	start(f);
	put(f, "proc/pressure/cpu",
	    "some avg10=1.00 avg60=2.00 avg300=3.00 total=1500\nfull avg10=0.00 total=9\n");
	put(f, "proc/pressure/memory",
	    "some avg10=0.00 avg60=0.00 avg300=0.00 total=6\nfull avg10=0.00 total=3\n");
	put(f, "proc/pressure/irq", "full avg10=0.00 avg60=0.00 avg300=0.00 total=52\n");
	put(f, "proc/loadavg", "12.05 4.56 7.89 1/234 567\n");
	reread(f);
	assert_int_equal(column(f, HEALTH_psi_cpu_some_ns), 500000);
	assert_int_equal(column(f, HEALTH_psi_mem_some_ns), 1000);
	assert_int_equal(column(f, HEALTH_psi_mem_full_ns), 0);
	assert_int_equal(column(f, HEALTH_psi_irq_full_ns), 2000);
	assert_false(f->h.present[HEALTH_psi_io_some_ns]);
	assert_int_equal(column(f, HEALTH_load_1m_milli), 12050);
}

#define DISKS(a, b)                                                                          \
	"   7 0 loop0 9" a " 0 9 9 9 9 9 9 0 9 9\n"                                          \
	"   1 0 ram0 9" a " 0 9 9 9 9 9 9 0 9 9\n"                                           \
	" 259 0 nvme0n1 10" a " 0 1" b " 30 20" a " 0 2" b " 40 2 5" b " 70 1 2 3 4 5 6\n"   \
	" 259 1 nvme0n1p1 10" a " 0 1" b " 30 20" a " 0 2" b " 40 1 5" b " 70 1 2 3 4 5 6\n" \
	"   8 0 sda 1" a " 0 8" a " 3 2" a " 0 16" a " 4 1 5" a " 7\n"                       \
	"   8 1 sda1 1" a " 0 8" a " 3 2" a " 0 16" a " 4 1 5" a " 7\n"                      \
	" 253 0 dm-0 1" a " 0 8" a " 3 2" a " 0 16" a " 4 1 5" a " 7\n"                      \
	" 252 0 zram0 9" a " 0 9 9 9 9 9 9 0 9 9\n"

static void check_disks(struct fixture *f)
{
	put(f, "proc/diskstats", DISKS("0", "00"));
	start(f);
	put(f, "proc/diskstats", DISKS("3", "48"));
	reread(f);
	/* nvme0n1 and sda. */
	assert_int_equal(column(f, HEALTH_disk_reads), 3 + 3);
	assert_int_equal(column(f, HEALTH_disk_writes), 3 + 3);
	assert_int_equal(column(f, HEALTH_disk_read_bytes), (48 + 3) * 512);
	assert_int_equal(column(f, HEALTH_disk_write_bytes), (48 + 3) * 512);
	assert_int_equal(column(f, HEALTH_disk_read_time_ns), 0);
	assert_int_equal(column(f, HEALTH_disk_io_time_ns), (48 + 3) * 1000000);
	assert_int_equal(column(f, HEALTH_disk_inflight), 3);
	assert_int_equal(labelled(f, "system.disk.operations",
				  "system.device=sda,disk.io.direction=read"),
			 3);
	assert_int_equal(labelled(f, "system.disk.io",
				  "system.device=nvme0n1,disk.io.direction=write"),
			 48 * 512);
	assert_int_equal(labelled(f, "linux.disk.inflight", "system.device=nvme0n1"), 2);
	/* What stands on top of others is shown, not added. */
	assert_int_equal(labelled(f, "system.disk.operations",
				  "system.device=dm-0,disk.io.direction=read"),
			 3);
	assert_int_equal(labelled(f, "system.disk.operations",
				  "system.device=sda1,disk.io.direction=read"),
			 0);
	assert_int_equal(labelled(f, "system.disk.operations",
				  "system.device=loop0,disk.io.direction=read"),
			 0);
	assert_int_equal(labelled(f, "system.disk.operations",
				  "system.device=zram0,disk.io.direction=read"),
			 0);
	assert_int_equal(f->h.read_errors, 0);
}

static void whole_disks_are_added_up(void **state)
{
	struct fixture *f = *state;

	put_dir(f, "sys/block/loop0");
	put_dir(f, "sys/block/ram0");
	put_dir(f, "sys/block/nvme0n1");
	put_dir(f, "sys/block/sda");
	put_dir(f, "sys/block/dm-0/slaves/sda1");
	put_dir(f, "sys/block/zram0");
	check_disks(f);
}

static void whole_disks_are_known_without_sysfs(void **state)
{
	check_disks(*state);
}

static void a_disk_pulled_out_is_no_jump(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/diskstats",
	    "8 0 sda 10 0 10 0 0 0 0 0 0 0 0\n8 16 sdb 5000 0 5000 0 0 0 0 0 0 0 0\n");
	start(f);
	put(f, "proc/diskstats", "8 0 sda 15 0 10 0 0 0 0 0 0 0 0\n");
	reread(f);
	assert_int_equal(column(f, HEALTH_disk_reads), 5);
	/* Another one under the old name, which has done more already. */
	put(f, "proc/diskstats",
	    "8 0 sda 16 0 10 0 0 0 0 0 0 0 0\n8 16 sdb 9000 0 9000 0 0 0 0 0 0 0 0\n");
	reread(f);
	assert_int_equal(column(f, HEALTH_disk_reads), 1);
	/* Backwards in place: the sum is not known. */
	put(f, "proc/diskstats",
	    "8 0 sda 17 0 10 0 0 0 0 0 0 0 0\n8 16 sdb 3 0 9000 0 0 0 0 0 0 0 0\n");
	reread(f);
	assert_false(f->h.present[HEALTH_disk_reads]);
	assert_int_equal(column(f, HEALTH_disk_read_bytes), 0);
	assert_int_equal(labelled(f, "system.disk.operations",
				  "system.device=sda,disk.io.direction=read"),
			 1);
}

#define NET(eth, veth)                                                                         \
	"Inter-|   Receive                            |  Transmit\n"                           \
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets\n" \
	"    lo: 7" eth " 1 0 0 0 0 0 0 7" eth " 1 0 0 0 0 0 0\n"                              \
	"  eth0:1" eth " 2" eth " 3 4 0 0 0 0 5" eth " 6" eth " 7 8 0 0 0 0\n"                 \
	"veth9a: 9" veth " 1 0 0 0 0 0 0 9" veth " 1 0 0 0 0 0 0\n"

static void packets_are_counted_where_there_is_a_device(void **state)
{
	struct fixture *f = *state;

	put_dir(f, "sys/class/net/lo");
	put_dir(f, "sys/class/net/eth0/device");
	put_dir(f, "sys/class/net/veth9a");
	put(f, "proc/net/dev", NET("00", "000"));
	start(f);
	put(f, "proc/net/dev", NET("11", "111"));
	reread(f);
	assert_int_equal(column(f, HEALTH_net_receive_bytes), 11);
	assert_int_equal(column(f, HEALTH_net_transmit_packets), 11);
	assert_int_equal(column(f, HEALTH_net_errors), 0);
	assert_int_equal(labelled(f, "system.network.io",
				  "network.interface.name=veth9a,network.io.direction=transmit"),
			 111);
}

static void packets_are_counted_in_a_namespace_without_devices(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/net/dev", NET("00", "000"));
	start(f);
	put(f, "proc/net/dev", NET("11", "111"));
	reread(f);
	/* All but lo. */
	assert_int_equal(column(f, HEALTH_net_receive_bytes), 11 + 111);
}

static void network_stack_counters(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/net/snmp",
	    "Ip: A B\nIp: 1 2\nTcp: RtoMin MaxConn RetransSegs InErrs\nTcp: 200 -1 5 0\n");
	put(f, "proc/net/netstat", "TcpExt: X ListenOverflows ListenDrops\nTcpExt: 1 2 3\n");
	put(f, "proc/net/softnet_stat",
	    "0000000f 00000001 0000000a 0\n00000e68 00000000 00000000 0\n");
	put(f, "proc/softirqs", "   CPU0 CPU1\n  HI: 0 0\n  TIMER: 10 20\n NET_RX: 5 5\n");
	start(f);
	put(f, "proc/net/snmp",
	    "Ip: A B\nIp: 1 2\nTcp: RtoMin MaxConn RetransSegs InErrs\nTcp: 200 -1 9 0\n");
	put(f, "proc/net/netstat", "TcpExt: X ListenOverflows ListenDrops\nTcpExt: 1 7 3\n");
	put(f, "proc/net/softnet_stat",
	    "0000000f 00000001 0000000b 0\n00000e68 0000000f 00000000 0\n");
	put(f, "proc/softirqs", "   CPU0 CPU1\n  HI: 0 0\n  TIMER: 11 25\n NET_RX: 5 6\n");
	reread(f);
	assert_int_equal(column(f, HEALTH_tcp_retransmits), 4);
	assert_int_equal(column(f, HEALTH_tcp_listen_overflows), 5);
	assert_int_equal(column(f, HEALTH_softnet_dropped), 15);
	assert_int_equal(column(f, HEALTH_softnet_squeezed), 1);
	assert_int_equal(column(f, HEALTH_softirqs), 7);
	assert_int_equal(labelled(f, "linux.softirqs", "type=TIMER"), 6);
}

static void a_line_cut_off_is_no_number(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/vmstat", "pgfault 100000\npgmajfault 200\n");
	put(f, "proc/diskstats", "8 0 sda 10 0 10 0 0 0 0 0 0 0 0\n");
	start(f);
	/* "pgmajfault 200" of which the end has not come. */
	put(f, "proc/vmstat", "pgfault 100500\npgmajfault 20");
	put(f, "proc/diskstats", "8 0 sda 11 0\n");
	reread(f);
	assert_int_equal(column(f, HEALTH_faults), 500);
	assert_false(f->h.present[HEALTH_major_faults]);
	assert_false(f->h.present[HEALTH_disk_reads]);
	assert_int_equal(f->h.read_errors, 1);
	put(f, "proc/vmstat", "pgfault 100500\npgmajfault 207\n");
	reread(f);
	assert_false(f->h.present[HEALTH_major_faults]);
	reread(f);
	assert_int_equal(column(f, HEALTH_major_faults), 0);
}

static void numbers_beyond_reason_are_absent(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/vmstat", "pgfault 5\npgmajfault 5\npswpin 5\n");
	put(f, "proc/stat", "cpu  1 1\ncpu0 1 1\ncpu99999999999999999999 1 1\n");
	put(f, "proc/meminfo", "MemTotal: 5 kB\n");
	start(f);
	put(f, "proc/vmstat",
	    "pgfault 18446744073709551615\npgmajfault 99999999999999999999999\npswpin -5\n");
	put(f, "proc/stat", "cpu  18446744073709551615 1\ncpu0 18446744073709551615 1\n");
	put(f, "proc/meminfo", "MemTotal: 18446744073709551615 kB\n");
	reread(f);
	assert_false(f->h.present[HEALTH_faults]);
	assert_false(f->h.present[HEALTH_major_faults]);
	assert_false(f->h.present[HEALTH_swap_in_pages]);
	assert_false(f->h.present[HEALTH_cpu_user_ns]);
	assert_int_equal(column(f, HEALTH_cpu_nice_ns), 0);
	assert_false(f->h.present[HEALTH_mem_total_bytes]);
	assert_int_equal(f->h.labels_n, 0);
	assert_true(f->h.read_errors >= 6);
	/* And they are no base for the next change. */
	put(f, "proc/vmstat", "pgfault 9\npgmajfault 9\npswpin 9\n");
	put(f, "proc/stat", "cpu  2 2\ncpu0 2 2\n");
	put(f, "proc/meminfo", "MemTotal: 6 kB\n");
	reread(f);
	assert_false(f->h.present[HEALTH_faults]);
	assert_int_equal(column(f, HEALTH_mem_total_bytes), 6 * 1024);
}

static void a_sum_of_which_a_part_is_missing_is_absent(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/vmstat", "allocstall_dma 5\nallocstall_normal 9\n");
	start(f);
	put(f, "proc/vmstat", "allocstall_dma 5\nallocstall_normal 18446744073709551615\n");
	reread(f);
	assert_false(f->h.present[HEALTH_alloc_stalls]);
	put(f, "proc/vmstat", "allocstall_dma 5\nallocstall_normal 10\n");
	reread(f);
	assert_false(f->h.present[HEALTH_alloc_stalls]);
	put(f, "proc/vmstat", "allocstall_dma 6\nallocstall_normal 10\n");
	reread(f);
	assert_int_equal(column(f, HEALTH_alloc_stalls), 1);
}

static void of_a_name_told_twice_the_first_counts(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/net/dev",
	    "e0: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\ne0: 7 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	start(f);
	put(f, "proc/net/dev",
	    "e0: 3 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\ne0: 9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	reread(f);
	assert_int_equal(column(f, HEALTH_net_receive_bytes), 2);
	assert_int_equal(f->h.read_errors, 1);
	reread(f);
	assert_int_equal(column(f, HEALTH_net_receive_bytes), 0);
}

static void garbage_is_survived(void **state)
{
	static const char *const files[] = {
		"proc/stat",	 "proc/meminfo",     "proc/vmstat",	     "proc/pressure/cpu",
		"proc/loadavg",	 "proc/diskstats",   "proc/softirqs",	     "proc/net/dev",
		"proc/net/snmp", "proc/net/netstat", "proc/net/softnet_stat"
	};
	static const char *const texts[] = {
		"",
		"\n\n\n",
		" ",
		":\n::\n: :\n",
		"cpu\ncpu \ncpu0\ncpux 1\n",
		"total=\nsome\nsome total=\nfull total=x\n",
		"Tcp: \nTcp: \n",
		"1.2.3 4\n",
		".\n",
		"8 0\n8 0 sda\n8 0 a,b=c 1 2 3 4 5 6 7 8 9 10 11\n",
		"eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 "
		"14 15 16\n",
	};
	struct fixture *f = *state;
	uint64_t random = 7;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		put(f, files[i], "");
	start(f);
	for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++) {
		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
			put(f, files[i], texts[k]);
		reread(f);
	}
	for (unsigned int k = 0; k < 200; k++) {
		char text[400];

		for (size_t i = 0; i < sizeof(text) - 1; i++) {
			random = random * 6364136223846793005ULL + 1442695040888963407ULL;
			text[i] = "0123456789 \n\t:=.-cpuabfe"[(random >> 33) % 24];
		}
		text[sizeof(text) - 1] = '\0';
		for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
			put(f, files[i], text);
		reread(f);
	}
}

static void names_with_syntax_are_kept_apart(void **state)
{
	struct fixture *f = *state;

	put(f, "proc/net/dev", "a=b,c:0: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	start(f);
	put(f, "proc/net/dev", "a=b,c:0: 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	reread(f);
	assert_int_equal(labelled(f, "system.network.io",
				  "network.interface.name=a_b_c:0,network.io.direction=receive"),
			 5);
}

static void a_host_of_many_is_bounded(void **state)
{
	struct fixture *f = *state;
	char *text = malloc(5000 * 64), *at = text;

	assert_non_null(text);
	for (int i = 0; i < 5000; i++)
		at += sprintf(at, "if%d: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", i);
	put(f, "proc/net/dev", text);
	start(f);
	reread(f);
	assert_int_equal(f->h.read_errors, 5000 - 4096);
	/* Those that went make room for those that came. */
	put(f, "proc/net/dev", "");
	reread(f);
	reread(f);
	put(f, "proc/net/dev", "new0: 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	reread(f);
	put(f, "proc/net/dev", "new0: 3 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n");
	reread(f);
	assert_int_equal(column(f, HEALTH_net_receive_bytes), 2);
	free(text);
}

static void no_proc_no_reader(void **state)
{
	struct health_reader *r = NULL;

	(void)state;
	assert_int_equal(health_reader_new("/nonexistent/proc", &r), -ENOENT);
	assert_null(r);
	health_reader_free(NULL);
}

/* An empty folder is a host of which nothing is known. */
static void missing_files_are_absent_metrics(void **state)
{
	struct fixture *f = *state;

	start(f);
	reread(f);
	for (size_t i = 0; i < HEALTH_MAX; i++)
		assert_false(f->h.present[i]);
	assert_int_equal(f->h.read_errors, 0);
}

static void this_host_has_a_pulse(void **state)
{
	struct fixture *f = *state;
	volatile uint64_t spin = 0;

	assert_int_equal(health_reader_new("/proc", &f->r), 0);
	for (unsigned int i = 0; i < 50000000; i++)
		spin += i;
	reread(f);
	assert_true(column(f, HEALTH_cpu_user_ns) > 0);
	assert_true(column(f, HEALTH_mem_total_bytes) > column(f, HEALTH_mem_free_bytes));
	assert_true(column(f, HEALTH_context_switches) > 0);
	assert_true(column(f, HEALTH_faults) >= 0);
	assert_true(f->h.labels_n > 0);
	assert_int_equal(f->h.read_errors, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(cpu_time_is_the_change_in_ns),
		TEST(cpus_come_and_go),
		TEST(memory_is_in_bytes_and_events_are_counted),
		TEST(pressure_is_no_more_than_the_tick),
		TEST(pressure_fits_the_tick),
		TEST(pressure_is_from_the_totals),
		TEST(whole_disks_are_added_up),
		TEST(whole_disks_are_known_without_sysfs),
		TEST(a_disk_pulled_out_is_no_jump),
		TEST(packets_are_counted_where_there_is_a_device),
		TEST(packets_are_counted_in_a_namespace_without_devices),
		TEST(network_stack_counters),
		TEST(a_line_cut_off_is_no_number),
		TEST(numbers_beyond_reason_are_absent),
		TEST(a_sum_of_which_a_part_is_missing_is_absent),
		TEST(of_a_name_told_twice_the_first_counts),
		TEST(garbage_is_survived),
		TEST(names_with_syntax_are_kept_apart),
		TEST(a_host_of_many_is_bounded),
		TEST(no_proc_no_reader),
		TEST(missing_files_are_absent_metrics),
		TEST(this_host_has_a_pulse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
