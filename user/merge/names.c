/* SPDX-License-Identifier: Apache-2.0 */
/* Ids of binaries, functions, processes and threads. What is new or changed goes into the open
 * tick. */
#include <errno.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "merge/state.h"

struct binary_key {
	uint64_t inode;
	uint32_t dev, path;
	uint32_t kind, successor;
};

struct function_key {
	uint32_t kind, binary, name, file, first_line;
};

struct identity_key {
	uint64_t start_ns;
	uint64_t number; /* pid, tid */
};

/* What every identity's value begins with. */
struct identity {
	uint64_t ended; /* the tick in which it ended; 0 = it lives */
};

/* What was told last. The text is kept as a hash: it only has to show that something changed. */
struct process_told {
	struct identity identity;
	uint64_t hash;
	uint64_t opened; /* the tick in which it was told, */
	uint32_t index;	 /* and where there */
	uint32_t id;
	uint32_t execs;
	uint32_t before,
		before_execs; /* the program that it was told of last before this one; 0 = none */
};

struct thread_told {
	struct identity identity;
	char comm[KYMO_COMM_SIZE];
	uint64_t name; /* hash of the one that was told */
	uint64_t opened;
	uint32_t index;
	uint32_t id, process;
};

static void identities_init(struct identities *i, size_t value_size)
{
	hmap_init(&i->map, sizeof(struct identity_key), value_size, 0);
	i->sweep_at = MERGE_IDENTITIES_MIN;
}

void merge_names_init(struct merge *m)
{
	hmap_init(&m->binaries, sizeof(struct binary_key), sizeof(uint32_t), MERGE_BINARIES_MAX);
	hmap_init(&m->functions, sizeof(struct function_key), sizeof(uint32_t), 0);
	identities_init(&m->processes, sizeof(struct process_told));
	identities_init(&m->threads, sizeof(struct thread_told));
}

static char *copy(const char *text)
{
	return strdup(text ? text : "");
}

static int binary_add(struct merge *m, const struct binary *b, uint32_t id)
{
	struct tick *t = m->open;
	struct binary new = *b;

	if (array_reserve(&t->binaries, &m->caps.binaries, t->binaries_n + 1) < 0)
		return -ENOMEM;
	new.id = id;
	new.path = copy(b->path);
	if (!new.path)
		return -ENOMEM;
	t->binaries[t->binaries_n++] = new;
	return 0;
}

uint32_t merge_binary(struct merge *m, const struct binary *b)
{
	struct binary_key key = {
		.inode = b->inode, .dev = b->dev, .kind = b->kind, .successor = b->successor
	};
	uint32_t *id;
	bool new;

	if (strings_intern(m->strings, b->path, &key.path) < 0)
		return 0;
	id = hmap_put(&m->binaries, &key, &new);
	if (!id) {
		m->dropped.binaries++;
		return 0;
	}
	if (!new)
		return *id;
	if (binary_add(m, b, m->binary_last + 1) < 0) {
		hmap_remove(&m->binaries, &key);
		return 0;
	}
	*id = ++m->binary_last;
	return *id;
}

static int function_add(struct merge *m, const struct function *f, uint32_t id)
{
	struct tick *t = m->open;
	_cleanup_free_ char *name = copy(f->name);
	_cleanup_free_ char *file = copy(f->file);
	struct function new = *f;

	if (!name || !file ||
	    array_reserve(&t->functions, &m->caps.functions, t->functions_n + 1) < 0)
		return -ENOMEM;
	new.id = id;
	new.name = TAKE_PTR(name);
	new.file = TAKE_PTR(file);
	t->functions[t->functions_n++] = new;
	return 0;
}

uint32_t merge_function(struct merge *m, const struct function *f)
{
	struct function_key key = { .kind = f->kind,
				    .binary = f->binary,
				    .first_line = f->first_line };
	/* The few synthetic ones say what is missing: they are not what the bound is for. */
	bool bounded = f->kind != FRAME_SYNTHETIC;
	uint32_t *id;

	if (strings_intern(m->strings, f->name, &key.name) < 0 ||
	    strings_intern(m->strings, f->file, &key.file) < 0) {
		m->dropped.functions++;
		return 0;
	}
	id = hmap_get(&m->functions, &key);
	if (id)
		return *id;
	if (bounded && m->functions.count >= m->limits.functions) {
		m->dropped.functions++;
		return 0;
	}
	id = hmap_put(&m->functions, &key, NULL);
	if (!id)
		return 0;
	if (function_add(m, f, m->function_last + 1) < 0) {
		hmap_remove(&m->functions, &key);
		return 0;
	}
	*id = ++m->function_last;
	return *id;
}

int merge_take_functions(struct merge *m, struct late_names *names)
{
	struct tick *t = m->open;
	size_t n = t->functions_n;
	struct function *all;

	if (n == 0)
		return 0;
	all = reallocarray(names->functions, names->functions_n + n, sizeof(*all));
	if (!all)
		return -ENOMEM;
	memcpy(all + names->functions_n, t->functions, n * sizeof(*all));
	names->functions = all;
	names->functions_n += n;
	t->functions_n = 0;
	return 0;
}

static uint64_t process_hash(const struct process *p)
{
	const uint64_t plain[] = { p->parent_pid, p->uid, p->cgroup_id };
	const char *exe = p->exe ? p->exe : "", *cmdline = p->cmdline ? p->cmdline : "";
	uint64_t h = hash_bytes(plain, sizeof(plain), 0);

	h = hash_bytes(p->comm, strnlen(p->comm, sizeof(p->comm)), h);
	h = hash_bytes(exe, strlen(exe), h);
	return hash_bytes(cmdline, strlen(cmdline), h);
}

/* Told already in this tick: replaced there. */
static int process_tell(struct merge *m, const struct process *p, struct process_told *told,
			bool again)
{
	struct tick *t = m->open;
	_cleanup_free_ char *exe = copy(p->exe);
	_cleanup_free_ char *cmdline = copy(p->cmdline);
	struct process *place;

	if (!exe || !cmdline ||
	    array_reserve(&t->processes, &m->caps.processes, t->processes_n + 1) < 0)
		return -ENOMEM;
	if (again && told->opened == m->opened) {
		place = &t->processes[told->index];
		free(place->exe);
		free(place->cmdline);
	} else {
		told->index = (uint32_t)t->processes_n;
		place = &t->processes[t->processes_n++];
	}
	*place = *p;
	place->id = told->id;
	place->exe = TAKE_PTR(exe);
	place->cmdline = TAKE_PTR(cmdline);
	told->opened = m->opened;
	return 0;
}

void merge_identity_ended(struct merge *m, struct identities *of, uint64_t start_ns,
			  uint32_t number)
{
	const struct identity_key key = { start_ns, number };
	struct identity *identity = hmap_get(&of->map, &key);

	if (identity)
		identity->ended = m->opened;
}

/* Leaves out what ended before the tick before this one: its last samples have come. */
static void sweep(struct merge *m, struct identities *of)
{
	struct hmap kept = of->map;
	size_t pos = 0;
	const void *key;
	void *value;

	kept.slots = NULL;
	kept.count = kept.cap = 0;
	while (hmap_next(&of->map, &pos, &key, &value)) {
		const struct identity *identity = value;
		void *to;

		if (identity->ended && identity->ended + 1 < m->opened)
			continue;
		to = hmap_put(&kept, key, NULL);
		if (!to) {
			/* No memory to be tidy: later. */
			hmap_release(&kept);
			of->sweep_at *= 2;
			return;
		}
		memcpy(to, value, kept.value_size);
	}
	hmap_release(&of->map);
	of->map = kept;
	of->sweep_at = kept.count * 2 > MERGE_IDENTITIES_MIN ? kept.count * 2
							     : MERGE_IDENTITIES_MIN;
}

static void *identity_put(struct merge *m, struct identities *of, const struct identity_key *key,
			  bool *ret_new)
{
	if (of->map.count >= of->sweep_at && !hmap_get(&of->map, key))
		sweep(m, of);
	/* Ends were not told, or the host has a million threads: all get new ids, and are told again. */
	if (of->map.count >= MERGE_IDENTITIES_MAX && !hmap_get(&of->map, key)) {
		hmap_clear(&of->map);
		m->dropped.forgotten++;
	}
	return hmap_put(&of->map, key, ret_new);
}

uint32_t merge_process(struct merge *m, const struct process *p)
{
	const struct identity_key key = { p->start_ns, p->pid };
	uint64_t hash = process_hash(p);
	struct process_told *told;
	bool new, fresh;

	told = identity_put(m, &m->processes, &key, &new);
	if (!told)
		return 0;
	/* Another program: what was sampled before keeps the old one's name. */
	fresh = new || told->execs != p->execs;
	if (!fresh && told->hash == hash)
		return told->id;
	if (fresh) {
		told->before = new ? 0 : told->id;
		told->before_execs = told->execs;
		told->id = m->process_last + 1;
	}
	if (process_tell(m, p, told, !fresh) < 0) {
		if (!fresh)
			return told
				->id; /* known, only the change is missing: tried again next time */
		hmap_remove(&m->processes.map, &key);
		return 0;
	}
	told->hash = hash;
	told->execs = p->execs;
	m->process_last += fresh;
	return told->id;
}

uint32_t merge_process_before(const struct merge *m, uint32_t pid, uint64_t start_ns,
			      uint32_t execs)
{
	const struct identity_key key = { start_ns, pid };
	const struct process_told *told = hmap_get(&m->processes.map, &key);

	if (!told)
		return 0;
	/* The new one may have been sampled already, as it was loaded. */
	if (told->execs + 1 == execs)
		return told->id;
	return told->before_execs + 1 == execs ? told->before : 0;
}

/* Without a name what stood there stays, in the profile too. */
static int thread_tell(struct merge *m, const struct kymo_who *who, const char *name,
		       struct thread_told *told, bool again)
{
	_cleanup_free_ char *text = *name ? strdup(name) : NULL;
	struct tick *t = m->open;
	struct thread *place;

	if (*name && !text)
		return -ENOMEM;
	if (again && told->opened == m->opened) {
		place = &t->threads[told->index];
		if (!text)
			text = TAKE_PTR(place->name);
		free(place->name);
	} else {
		if (array_reserve(&t->threads, &m->caps.threads, t->threads_n + 1) < 0)
			return -ENOMEM;
		told->index = (uint32_t)t->threads_n;
		place = &t->threads[t->threads_n++];
	}
	*place = (struct thread){ .id = told->id,
				  .process = told->process,
				  .tid = who->tid,
				  .start_ns = who->thread_start_ns,
				  .name = TAKE_PTR(text) };
	memcpy(place->comm, told->comm, sizeof(place->comm));
	told->opened = m->opened;
	return 0;
}

static uint64_t name_hash(const char *name)
{
	return *name ? hash_bytes(name, strlen(name), 0) : 0;
}

uint32_t merge_thread(struct merge *m, uint32_t process, const struct kymo_who *who,
		      const char *name)
{
	const struct identity_key key = { who->thread_start_ns, who->tid };
	struct thread_told *told;
	uint64_t hash = name_hash(name ? name : "");
	bool new, fresh;

	told = identity_put(m, &m->threads, &key, &new);
	if (!told)
		return 0;
	if (!new && told->process == process && (!hash || told->name == hash) &&
	    memcmp(told->comm, who->comm, sizeof(told->comm)) == 0)
		return told->id;
	fresh = new || told->process != process;
	if (fresh)
		told->id = m->thread_last + 1;
	told->process = process;
	memcpy(told->comm, who->comm, sizeof(told->comm));
	if (thread_tell(m, who, name ? name : "", told, !fresh) < 0) {
		hmap_remove(&m->threads.map, &key);
		return 0;
	}
	told->name = hash || fresh ? hash : told->name;
	m->thread_last += fresh;
	return told->id;
}
