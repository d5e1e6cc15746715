/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/features.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

/* Added after the oldest headers that we build with (5.8). */
#ifndef CAP_PERFMON
#define CAP_PERFMON 38
#endif
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

#define BTF_PATH      "/sys/kernel/btf/vmlinux"
#define LOCKDOWN_PATH "/sys/kernel/security/lockdown"

static uint64_t effective_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data) < 0)
		return 0;
	return (uint64_t)data[1].effective << 32 | data[0].effective;
}

/* The first namespace has a fixed inode (include/linux/proc_ns.h, PROC_PID_INIT_INO). */
static bool in_host_pid_namespace(void)
{
	char target[32] = "";
	ssize_t n = readlink("/proc/self/ns/pid", target, sizeof(target) - 1);

	return n <= 0 || strcmp(target, "pid:[4026531836]") == 0;
}

static bool is_confidential(void)
{
	_cleanup_(buf_release) struct buf text = { 0 };

	return file_read(-1, LOCKDOWN_PATH, 256, &text) == 0 &&
	       strstr((const char *)text.data, "[confidentiality]");
}

int features_probe(struct features *ret)
{
	struct utsname host;

	if (uname(&host) < 0)
		return -errno;
	*ret = (struct features){ .btf = access(BTF_PATH, F_OK) == 0,
				  .confidential = is_confidential(),
				  .usercopy_locks = usercopy_locks(host.release),
				  .nested_pids = !in_host_pid_namespace(),
				  .capabilities = effective_capabilities() };
	snprintf(ret->release, sizeof(ret->release), "%s", host.release);
	return 0;
}

static bool has(const struct features *f, unsigned capability)
{
	return f->capabilities >> capability & 1;
}

static bool new_enough(const char *release)
{
	unsigned major = 0, minor = 0;

	if (sscanf(release, "%u.%u", &major, &minor) != 2)
		return true; /* a name of its own: let the loading decide */
	return major > KERNEL_VERSION_MIN_MAJOR ||
	       (major == KERNEL_VERSION_MIN_MAJOR && minor >= KERNEL_VERSION_MIN_MINOR);
}

static int refuse(int error, char **ret_message, char *message, int length)
{
	*ret_message = length < 0 ? NULL : message;
	return error;
}

/* What the kernel forbids or cannot do, whoever asks. */
static int check_kernel(const struct features *f, char **ret_message)
{
	char *message = NULL;
	int n;

	if (f->confidential) {
		n = asprintf(
			&message,
			"this kernel is locked down to confidentiality, so that no program may "
			"read its memory: boot it with lockdown=integrity or none");
		return refuse(-EPERM, ret_message, message, n);
	}
	if (f->usercopy_locks) {
		n = asprintf(&message,
			     "Linux %s can lock up when memory is read in an interrupt (hardened "
			     "usercopy, before Linux 6.4): update it, or boot it with "
			     "hardened_usercopy=off",
			     f->release);
		return refuse(-EOPNOTSUPP, ret_message, message, n);
	}
	return 0;
}

int features_check(const struct features *f, char **ret_message)
{
	bool bpf = has(f, CAP_SYS_ADMIN) || has(f, CAP_BPF);
	bool perfmon = has(f, CAP_SYS_ADMIN) || has(f, CAP_PERFMON);
	char *message = NULL;
	int n;

	if (!new_enough(f->release)) {
		n = asprintf(&message, "Linux %s is too old: kymo needs Linux %d.%d or later",
			     f->release, KERNEL_VERSION_MIN_MAJOR, KERNEL_VERSION_MIN_MINOR);
		return refuse(-EOPNOTSUPP, ret_message, message, n);
	}
	if (!bpf || !perfmon) {
		n = asprintf(&message, "this needs root (%s%s%s missing): run it with sudo",
			     bpf ? "" : "CAP_BPF", !bpf && !perfmon ? " and " : "",
			     perfmon ? "" : "CAP_PERFMON");
		return refuse(-EPERM, ret_message, message, n);
	}
	if (f->nested_pids) {
		n = asprintf(&message,
			     "kymo sees the host's processes, this is another pid namespace: "
			     "run it on the host (containers: --pid=host)");
		return refuse(-EOPNOTSUPP, ret_message, message, n);
	}
	if (!f->btf) {
		n = asprintf(&message,
			     "this kernel does not describe its types (%s is missing): "
			     "kymo needs a kernel built with CONFIG_DEBUG_INFO_BTF=y",
			     BTF_PATH);
		return refuse(-EOPNOTSUPP, ret_message, message, n);
	}
	return check_kernel(f, ret_message);
}

/* The verifier's verdict is the last line before its statistics ("processed N insns ..."). */
void features_verifier_reason(const char *log, char *out, unsigned long out_size)
{
	const char *end = strstr(log, "\nprocessed "), *next, *begin;

	out[0] = 0;
	while (end && (next = strstr(end + 1, "\nprocessed ")))
		end = next;
	if (!end)
		return;
	begin = end;
	while (begin > log && begin[-1] != '\n')
		begin--;
	snprintf(out, out_size, "%.*s", (int)(end - begin < 200 ? end - begin : 200), begin);
}
