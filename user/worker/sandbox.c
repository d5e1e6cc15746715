/* SPDX-License-Identifier: Apache-2.0 */
#include "worker/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "worker/protocol.h"

typedef scmp_filter_ctx filter;

static void filter_release(filter *f)
{
	if (*f)
		seccomp_release(*f);
}

/* What any of our code, the C library's heap and a way out need. */
static const int common_calls[] = {
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(close),
	SCMP_SYS(exit_group),
	SCMP_SYS(exit),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(sysinfo),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigprocmask),
};

static const int parser_calls[] = { SCMP_SYS(pread64), SCMP_SYS(lseek) };

static const int opener_calls[] = {
	SCMP_SYS(openat),
	SCMP_SYS(openat2),
	SCMP_SYS(statx),
	SCMP_SYS(fstatfs),
};

#ifdef KYMO_SANITIZED
/* The sanitizers map their shadow, print, and read their own maps. */
static const int sanitizer_calls[] = {
	SCMP_SYS(mmap),	       SCMP_SYS(mprotect),  SCMP_SYS(write),	    SCMP_SYS(read),
	SCMP_SYS(sigaltstack), SCMP_SYS(readlink),  SCMP_SYS(rt_sigaction), SCMP_SYS(sched_yield),
	SCMP_SYS(getrlimit),   SCMP_SYS(prlimit64),
};
#endif

/* Nothing in these processes calls them by mistake: who does has taken the process over. */
static const int deadly_calls[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(fork),
	SCMP_SYS(vfork),
	SCMP_SYS(clone),
	SCMP_SYS(clone3),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(socket),
	SCMP_SYS(socketpair),
	SCMP_SYS(connect),
	SCMP_SYS(bind),
	SCMP_SYS(accept),
	SCMP_SYS(accept4),
	SCMP_SYS(listen),
	SCMP_SYS(bpf),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(unshare),
	SCMP_SYS(setns),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(keyctl),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(chroot),
	SCMP_SYS(pivot_root),
	SCMP_SYS(memfd_create),
	SCMP_SYS(kill),
	SCMP_SYS(tkill),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_getfd),
};

static int set_limit(int resource, uint64_t value)
{
	struct rlimit now, limit = { value, value };

	if (getrlimit(resource, &now) < 0)
		return -errno;
	if (now.rlim_max < limit.rlim_max)
		limit.rlim_cur = limit.rlim_max = now.rlim_max;
	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

static int set_limits(bool parser)
{
	static const int zero[] = { RLIMIT_FSIZE, RLIMIT_CORE, RLIMIT_NPROC, RLIMIT_MEMLOCK };
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(zero) && r == 0; i++)
		r = set_limit(zero[i], 0);
	if (r == 0)
		r = set_limit(RLIMIT_NOFILE, 16);
#ifndef KYMO_SANITIZED /* AddressSanitizer reserves terabytes */
	if (r == 0)
		r = set_limit(RLIMIT_AS, parser ? SANDBOX_MEMORY_BYTES : SANDBOX_MEMORY_BYTES / 8);
#endif
	/* The opener has no work that could add up. */
	if (r == 0 && parser)
		r = set_limit(RLIMIT_CPU, SANDBOX_CPU_SECONDS);
	return r;
}

/* Bits of the capabilities that stay, of those that are held. */
static int keep_capabilities(uint64_t keep)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct held[2], set[2] = { 0 };

	if (syscall(SYS_capget, &head, held) < 0)
		return -errno;
	for (int i = 0; i < 2; i++)
		set[i].permitted = set[i].effective = held[i].permitted &
						      (uint32_t)(keep >> (32 * i));
	/* Best effort: without CAP_SETPCAP the bounding set stays, which no_new_privs makes harmless. */
	for (int cap = 0; cap < 64; cap++)
		if (!(keep >> cap & 1))
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return syscall(SYS_capset, &head, set) < 0 ? -errno : 0;
}

static int become_nobody(void)
{
	int r;

	if (geteuid() == 0) {
		/* While it still may. */
		for (int cap = 0; cap < 64; cap++)
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
		if (setgroups(0, NULL) < 0 ||
		    setresgid(SANDBOX_UID, SANDBOX_UID, SANDBOX_UID) < 0 ||
		    setresuid(SANDBOX_UID, SANDBOX_UID, SANDBOX_UID) < 0)
			return -errno;
	}
	r = keep_capabilities(0);
	return r < 0 ? r : geteuid() == 0 ? -EPERM : 0;
}

/*
 * CAP_CHECKPOINT_RESTORE opens map_files, CAP_SYS_PTRACE passes /proc/PID of other users,
 * CAP_DAC_READ_SEARCH reads any file. Where the first is not held, CAP_SYS_ADMIN does its work.
 */
static int keep_opening(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct held[2];
	uint64_t keep = 1ULL << CAP_SYS_PTRACE | 1ULL << CAP_DAC_READ_SEARCH;

	if (syscall(SYS_capget, &head, held) < 0)
		return -errno;
	if (held[1].permitted & 1U << (CAP_CHECKPOINT_RESTORE - 32))
		keep |= 1ULL << CAP_CHECKPOINT_RESTORE;
	else
		keep |= 1ULL << CAP_SYS_ADMIN;
	return keep_capabilities(keep);
}

static int allow(filter f, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);

		if (r < 0)
			return r;
	}
	return 0;
}

/* Memory that is neither a file's nor executable; packets on our one socket. */
static int allow_narrowly(filter f)
{
	const struct scmp_arg_cmp not_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	const struct scmp_arg_cmp no_file =
		SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS);
	const struct scmp_arg_cmp ours = SCMP_A0(SCMP_CMP_EQ, WORKER_HELPER_FD);
	int r;

	r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(sendmsg), 1, ours);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(recvmsg), 1, ours);
#ifdef KYMO_SANITIZED
	(void)not_exec;
	(void)no_file;
	if (r == 0)
		r = allow(f, sanitizer_calls, ARRAY_SIZE(sanitizer_calls));
#else
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, not_exec, no_file);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, not_exec);
#endif
	return r;
}

/*
 * Whatever is not listed fails with EPERM: a C library newer than this list may ask for something
 * harmless and go on. Calls of other architectures kill (libseccomp's default).
 */
static int load_filter(const int *calls, size_t n)
{
	_cleanup_(filter_release) filter f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!f)
		return -ENOMEM;
	r = allow(f, common_calls, ARRAY_SIZE(common_calls));
	if (r == 0)
		r = allow(f, calls, n);
	if (r == 0)
		r = allow_narrowly(f);
	/* A call that this architecture does not have cannot be made. */
	for (size_t i = 0; i < ARRAY_SIZE(deadly_calls) && r == 0; i++)
		if (deadly_calls[i] >= 0)
			r = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, deadly_calls[i], 0);
	return r < 0 ? r : seccomp_load(f);
}

/* The parent's death signal is lost when credentials change, so it comes last. */
static int seal(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

int sandbox_parser(void)
{
	const struct sched_param batch = { 0 };
	int r;

	/* Names can wait, the host's work cannot: a tenth of a share, and never preempting a waker. For what cannot, helper_hurry. */
	(void)setpriority(PRIO_PROCESS, 0, WORKER_NICE);
	(void)sched_setscheduler(0, SCHED_BATCH, &batch);
	r = become_nobody();
	if (r == 0)
		r = set_limits(true);
	if (r == 0)
		r = seal();
	return r < 0 ? r : load_filter(parser_calls, ARRAY_SIZE(parser_calls));
}

int sandbox_opener(void)
{
	int r = keep_opening();

	if (r == 0)
		r = set_limits(false);
	if (r == 0)
		r = seal();
	return r < 0 ? r : load_filter(opener_calls, ARRAY_SIZE(opener_calls));
}
