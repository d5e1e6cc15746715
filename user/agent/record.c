/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/command.h"
#include "agent/files.h"
#include "agent/output.h"
#include "agent/pipeline.h"
#include "agent/progress.h"
#include "agent/unsupported.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "kern/kern.h"
#include "proc/proc.h"

/* How long the end may wait for names: big binaries take a second or two to read. */
#define NAMING_NS (15 * NS_PER_SEC)
/* Interpreters without probes that are named at the end. */
#define WITHOUT_PROBES_SHOWN 8

/* Unless it was started at a niceness of its own: about three shares of a CPU. */
#define RECORD_NICE (-5)

struct recording {
	const struct agent_options *options;
	struct pipeline *pipeline;
	struct output *output;
	struct command command;
	struct progress progress;
	int signal_fd;
	uint64_t start_ns, lost;
	bool stop;
	int signal;   /* that told us to stop; 0 = none */
	int niceness; /* that we were started at */
	bool hurry;   /* told again to stop: what can be left out is */
};

/*
 * A host that is sick keeps its recorder from the CPU just when it matters: with 16 busy threads on 2 CPUs the rules
 * of what runs came after half a minute, and after a second so. What we use does not grow by it. The command
 * that is recorded runs as we were started.
 */
static void come_first(void)
{
	errno = 0;
	if (getpriority(PRIO_PROCESS, 0) == 0 && errno == 0)
		(void)setpriority(PRIO_PROCESS, 0, RECORD_NICE);
}

static bool is_ignored(int signal)
{
	struct sigaction action;

	return sigaction(signal, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

static int block_signals(int *ret_fd)
{
	sigset_t set;
	int fd;

	/* A pipe to a command that died, a limit on file sizes: errors, not ends without a word. */
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (!is_ignored(SIGHUP)) /* nohup */
		sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

/*
 * Ctrl-C reaches the command too, which may have its own use for it: the recording then
 * lasts as long as the command. A SIGTERM of ours is handed on.
 */
static void on_signal(struct recording *r, const struct signalfd_siginfo *info)
{
	bool running = command_running(&r->command);

	if (info->ssi_signo == SIGCHLD)
		return; /* looked for at every turn */
	if (running && info->ssi_signo == SIGINT)
		return;
	if (running)
		kill(r->command.pid, (int)info->ssi_signo);
	r->hurry = r->stop;
	r->stop = true;
	r->signal = (int)info->ssi_signo;
}

static void read_signals(struct recording *r)
{
	struct signalfd_siginfo info;

	while (read(r->signal_fd, &info, sizeof(info)) == sizeof(info))
		on_signal(r, &info);
}

/* What is followed, children that they have already included: the kernel side adds later ones itself. */
static int follow(struct recording *r, uint32_t pid)
{
	_cleanup_free_ uint32_t *children = NULL;
	size_t n = 0;
	int q = pipeline_follow(r->pipeline, pid);

	if (q == 0)
		q = proc_descendants("/proc", pid, &children, &n);
	for (size_t i = 0; i < n && q == 0; i++)
		q = pipeline_follow(r->pipeline, children[i]);
	return q;
}

/* A thread's id names a process too for kill(2), but nothing would be sampled of it. */
static int follow_given(struct recording *r, uint32_t pid)
{
	uint32_t process = 0;
	int q = proc_of_thread("/proc", pid, &process);

	if (q == 0 && process != pid) {
		log_error("-p %" PRIu32 ": that is a thread of process %" PRIu32
			  "; give -p %" PRIu32,
			  pid, process, process);
		return -EINVAL;
	}
	if (q == 0)
		q = follow(r, pid);
	/* Whose exit came before it was followed would be followed for ever. */
	if (q == 0)
		q = proc_of_thread("/proc", pid, &process);
	if (q < 0)
		log_error("process %" PRIu32 ": %s", pid,
			  q == -ESRCH || q == -ENOENT ? "no such process" : strerror(-q));
	return q;
}

static int follow_all(struct recording *r)
{
	const struct agent_options *o = r->options;
	int q = 0;

	for (size_t i = 0; i < o->pids_n && q == 0; i++)
		q = follow_given(r, o->pids[i]);
	if (q == 0 && o->command)
		q = follow(r, (uint32_t)r->command.pid);
	return q;
}

static int start_command(struct recording *r)
{
	const struct agent_options *o = r->options;
	const struct command_as as = {
		.user_set = o->user_set, .uid = o->uid, .gid = o->gid, .niceness = r->niceness
	};
	int q = command_start(o->command, &as, &r->command);

	if (q == -ENOENT)
		log_error("%s: command not found", o->command[0]);
	else if (q < 0)
		log_error("%s: cannot run it: %s", o->command[0], strerror(-q));
	return q;
}

static int open_pipeline(struct recording *r)
{
	struct pipeline_options options = { .cpu_period_ns = sample_period_ns(r->options->hz),
					    .tick_ns = r->options->tick_ns,
					    .rotate_ns = r->options->rotate_ns,
					    .sources = r->options->sources,
					    .filter = !r->options->all,
					    .no_cmdline = r->options->no_cmdline };
	_cleanup_free_ char *message = NULL;
	int q = 0;

	if (r->options->cgroup)
		q = kern_cgroup_find(r->options->cgroup, &options.cgroup, &message);
	if (q == 0)
		q = pipeline_open(&options, &r->pipeline, &message);
	if (q < 0)
		log_error("%s", message ? message : strerror(-q));
	return q;
}

static int open_output(struct recording *r)
{
	const struct agent_options *o = r->options;
	_cleanup_free_ char *message = NULL;
	struct writer_output next;
	int q = output_open(o, &r->output, &message);

	if (q < 0) {
		log_error("%s", message ? message : strerror(-q));
		return q;
	}
	output_next(r->output, &next);
	q = pipeline_set_store(r->pipeline, output_store(r->output), &next);
	if (q < 0)
		log_error("%s: cannot write the profile: %s", o->output, strerror(-q));
	return q;
}

/* Its rules and probes are to be there when it starts, not when it has been seen to run. */
static void expect_command(struct recording *r)
{
	char path[PATH_MAX];

	if (r->options->command && command_find(r->options->command[0], path) == 0)
		pipeline_expect(r->pipeline, path);
}

static int begin(struct recording *r)
{
	struct pipeline_stats stats;
	int q;

	expect_command(r);
	q = pipeline_start(r->pipeline, &r->start_ns);
	if (q < 0) {
		log_error("cannot start sampling: %s", strerror(-q));
		return q;
	}
	pipeline_stats(r->pipeline, &stats);
	if (!stats.kernel_names)
		log_warning("kernel addresses are hidden (sysctl kernel.kptr_restrict): kernel "
			    "frames stay without names");
	read_signals(r);
	if (!r->options->command || r->stop)
		return 0; /* Ctrl-C before the command began: it never does */
	q = command_release(&r->command);
	if (q < 0)
		log_error("%s: cannot run it: %s", r->options->command[0], strerror(-q));
	return q;
}

static bool finished(struct recording *r)
{
	uint64_t now = clock_mono_ns();

	if (r->options->duration_ns && now - r->start_ns >= r->options->duration_ns)
		r->stop = true;
	if (command_ended(&r->command))
		r->stop = true;
	if (r->options->pids_n > 0 && !pipeline_follows_any(r->pipeline)) {
		progress_clear(&r->progress);
		if (!r->stop && !r->options->quiet)
			log_info("all processes of -p have ended");
		r->stop = true;
	}
	return r->stop;
}

static void wait_turn(struct recording *r)
{
	struct pollfd fd = { .fd = r->signal_fd, .events = POLLIN };
	uint64_t now = clock_mono_ns(), next = pipeline_next_ns(r->pipeline);
	uint64_t end = r->start_ns + r->options->duration_ns;
	struct timespec timeout;

	if (r->options->duration_ns && end < next)
		next = end;
	next = next > now ? next - now : 0;
	timeout = (struct timespec){ .tv_sec = (time_t)(next / NS_PER_SEC),
				     .tv_nsec = (long)(next % NS_PER_SEC) };
	if (ppoll(&fd, 1, &timeout, NULL) > 0)
		read_signals(r);
}

static void tell_python(struct recording *r, const struct pipeline_stats *stats,
			struct unsupported *told)
{
	if (!unsupported_is_new(told, stats->unknown_python, stats->unknown_python_why))
		return;
	progress_clear(&r->progress);
	unsupported_tell(stats->unknown_python, stats->unknown_python_why);
}

static int run(struct recording *r)
{
	struct pipeline_stats stats;
	struct unsupported told_pythons = { 0 };
	int q = 0;

	while (q == 0 && !finished(r)) {
		q = pipeline_step(r->pipeline);
		pipeline_stats(r->pipeline, &stats);
		tell_python(r, &stats, &told_pythons);
		progress_recording(&r->progress, &stats);
		if (q == 0)
			wait_turn(r);
	}
	return q;
}

static void finish_names(struct recording *r)
{
	const struct timespec pause = { .tv_nsec = 5 * NS_PER_MSEC };
	uint64_t give_up = clock_mono_ns() + NAMING_NS;
	size_t waiting;

	while ((waiting = pipeline_name(r->pipeline)) > 0) {
		read_signals(r);
		if (r->hurry || clock_mono_ns() > give_up) {
			progress_clear(&r->progress);
			log_warning("gave up waiting for the names of some frames (%zu jobs)",
				    waiting);
			return;
		}
		progress_naming(&r->progress, waiting);
		nanosleep(&pause, NULL);
	}
}

static int end(struct recording *r, int q)
{
	int e;

	if (q == 0)
		q = pipeline_stop(r->pipeline);
	if (q == 0)
		finish_names(r);
	e = pipeline_finish(r->pipeline);
	q = q < 0 ? q : e;
	progress_clear(&r->progress);
	if (q == -ENOSPC)
		log_error("%s: the disk is full; all ticks before that are kept",
			  r->options->output);
	else if (q == -EFBIG)
		log_error("%s: the limit on file sizes is reached (ulimit -f); all ticks before "
			  "that are kept",
			  r->options->output);
	else if (q == -ETIMEDOUT)
		log_error("%s: the disk has not taken a tick for ten minutes", r->options->output);
	else if (q < 0)
		log_error("%s: recording ended early: %s", r->options->output, strerror(-q));
	e = output_finish(r->output);
	if (e == -EBUSY) {
		/* Nothing is missing: the reader alone holds up the last step. */
		log_warning(
			"%s: something has it open and does not let go, so that its end lies in "
			"%s-wal: keep the two together",
			r->options->output, r->options->output);
		e = 0;
	}
	if (e == -ESTALE && q == 0)
		log_error("%s: the profile was removed while recording", r->options->output);
	else if (e < 0 && q == 0)
		log_error("%s: cannot end the profile cleanly: %s", r->options->output,
			  strerror(-e));
	return q < 0 ? q : e;
}

/* What stands in: samples of the clock, by the function that collects or imports. */
static void tell_without_probes(struct recording *r, enum kymo_source source)
{
	struct files_python pythons[WITHOUT_PROBES_SHOWN];
	size_t n = pipeline_without_probes(r->pipeline, source, pythons, ARRAY_SIZE(pythons));
	bool gc = source == KYMO_SOURCE_GC;

	for (size_t i = 0; i < n; i++) {
		struct buf name = { 0 };
		const char *base = strrchr(pythons[i].path, '/');

		if (text_append_terminal(&name, base ? base + 1 : pythons[i].path) == 0 &&
		    buf_str(&name))
			log_warning("%s (PID %" PRIu32 ") has no %s probes: its %s are only in the "
				    "CPU samples, at %s",
				    buf_str(&name), pythons[i].pid, source_names[source],
				    gc ? "collections" : "imports",
				    gc ? "gc_collect_main (collect before 3.10)"
				       : "_find_and_load");
		buf_release(&name);
	}
}

static void summary(struct recording *r)
{
	struct pipeline_stats s;
	char bytes[16], duration[16];

	if (r->options->quiet)
		return;
	tell_without_probes(r, KYMO_SOURCE_GC);
	tell_without_probes(r, KYMO_SOURCE_IMPORT);
	pipeline_stats(r->pipeline, &s);
	if (r->options->exported)
		log_info("recorded %s, %" PRIu64 " ticks, %" PRIu64 " samples, %" PRIu64 " lost",
			 text_duration(s.recorded_ns, duration), s.ticks, s.samples, s.lost);
	else
		log_info("%s: %s, %" PRIu64 " ticks, %" PRIu64 " samples, %" PRIu64 " lost, %s%s%s",
			 r->options->output, text_duration(s.recorded_ns, duration), s.ticks,
			 s.samples, s.lost, text_bytes(output_bytes(r->output), bytes),
			 r->options->summarised ? "" : ". Next: kymo report ",
			 r->options->summarised ? "" : r->options->output);
	r->lost = s.lost;
}

/* The command keeps the terminal to its end, however long the recording was; its exit code is ours. */
static void wait_command(struct recording *r)
{
	struct pollfd fd = { .fd = r->signal_fd, .events = POLLIN };

	if (!command_running(&r->command))
		return;
	r->hurry = false;
	while (!command_ended(&r->command) && !r->hurry)
		if (poll(&fd, 1, 1000) > 0)
			read_signals(r);
}

static int record(struct recording *r)
{
	int q = open_pipeline(r);

	if (q == 0 && r->options->command)
		q = start_command(r);
	if (q == 0)
		q = follow_all(r);
	read_signals(r);
	if (q == 0 && r->stop) {
		if (!r->options->quiet)
			log_info("stopped before it began: nothing is recorded");
		return -EINTR;
	}
	/* From here on an older profile is no longer in its place. */
	if (q == 0)
		q = open_output(r);
	if (q < 0)
		return q;
	progress_init(&r->progress, r->options->quiet, r->options->output);
	q = begin(r);
	if (q < 0) {
		(void)pipeline_finish(r->pipeline);
		(void)output_finish(r->output);
		return q;
	}
	q = end(r, run(r));
	if (q == 0)
		summary(r);
	return q;
}

/*
 * Left to itself glibc takes the first large block that is freed as a sign that all blocks up to its size are better kept,
 * and gives each thread a heap of its own: a third of what we had was what had been a file's tables for a moment.
 */
static void give_back_memory(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 256 << 10);
	(void)mallopt(M_TRIM_THRESHOLD, 256 << 10);
	(void)mallopt(M_ARENA_MAX, 1);
}

int agent_record(const struct agent_options *options, struct agent_result *ret)
{
	struct recording r = { .options = options,
			       .command = COMMAND_NONE,
			       .signal_fd = -1,
			       .niceness = getpriority(PRIO_PROCESS, 0) };
	int q = block_signals(&r.signal_fd);

	come_first();
	give_back_memory();
	if (q == 0)
		q = record(&r);
	wait_command(&r);
	if (q == -EINTR) {
		ret->exit_code = 128 + r.signal;
		q = 0;
	} else if (q == 0)
		ret->exit_code = options->command && !r.command.reaped
					 ? 128 + (r.signal ? r.signal : SIGINT)
					 : command_exit_code(&r.command);
	ret->lost = r.lost;
	pipeline_free(r.pipeline);
	output_free(r.output);
	command_close(&r.command);
	if (r.signal_fd >= 0)
		close(r.signal_fd);
	return q;
}
