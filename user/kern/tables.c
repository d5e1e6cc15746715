/* SPDX-License-Identifier: Apache-2.0 */
/* What user space tells the kernel side while it runs: plain tables. */
#include <errno.h>
#include <signal.h>

#include "kern/state.h"
#include "kymo.skel.h"

int kern_follow(struct kern *k, uint32_t pid)
{
	/* Filled in by the kernel side at first sight: /proc has it in clock ticks only. */
	uint64_t start_ns = 0;
	struct bpf_map *map = k->skeleton->maps.followed;
	int r = bpf_map__update_elem(map, &pid, sizeof(pid), &start_ns, sizeof(start_ns), BPF_ANY);

	if (r == -E2BIG)
		return -ENOSPC;
	if (r < 0)
		return r;
	/*
	 * After the entry is there: one that has ended before would stay for another process of
	 * that pid.
	 */
	if (kill((pid_t)pid, 0) < 0 && errno == ESRCH) {
		(void)bpf_map__delete_elem(map, &pid, sizeof(pid), 0);
		return -ESRCH;
	}
	return 0;
}

bool kern_follows_any(struct kern *k)
{
	uint32_t pid;

	return bpf_map__get_next_key(k->skeleton->maps.followed, NULL, &pid, sizeof(pid)) !=
	       -ENOENT;
}

int kern_set_python_layout(struct kern *k, uint32_t index, const struct kymo_python_layout *layout)
{
	return bpf_map__update_elem(k->skeleton->maps.python_layouts, &index, sizeof(index), layout,
				    sizeof(*layout), BPF_ANY);
}

int kern_set_python_binary(struct kern *k, const struct kymo_file_key *file,
			   const struct kymo_python_binary *binary)
{
	int r = bpf_map__update_elem(k->skeleton->maps.python_binaries, file, sizeof(*file), binary,
				     sizeof(*binary), BPF_ANY);

	if (r == -E2BIG)
		return -ENOSPC;
	if (r < 0)
		return r;
	/*
	 * Processes found to be no Python are looked at again. Never 0, which says that there is
	 * none.
	 */
	__atomic_add_fetch(&k->skeleton->bss->python_generation, 1, __ATOMIC_RELEASE);
	return 0;
}
