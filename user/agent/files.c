/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/files_state.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "agent/jit.h"
#include "agent/lines.h"
#include "base/array.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hmap.h"
#include "python/python.h"

#define FILES_MAX	65536
#define NAME_BATCH	512 /* offsets in one job */
#define TAKE_BATCH	4096
#define INSPECT_OUT_MAX 64 /* a file's rules come right behind what is known of it */
/* A file's first frames are named at once, later ones together: a job costs far more than a name. */
#define NAMES_LATER_NS (4 * NS_PER_SEC)

int files_new(struct kern *kern, struct merge *merge, struct worker *worker, struct probes *probes,
	      struct files **ret)
{
	struct files *f = calloc(1, sizeof(*f));

	if (!f)
		return -ENOMEM;
	f->kern = kern;
	f->merge = merge;
	f->worker = worker;
	f->probes = probes;
	hmap_init(&f->by_key, sizeof(struct kymo_file_key), sizeof(uint32_t), FILES_MAX);
	hmap_init(&f->by_binary, sizeof(uint32_t), sizeof(uint32_t), FILES_MAX);
	if (jit_new(merge, worker, &f->jit) < 0) {
		files_free(f);
		return -ENOMEM;
	}
	*ret = f;
	return 0;
}

void files_without_lines(struct files *f)
{
	f->without_lines = true;
}

void files_observe(struct files *f, const struct files_observer *observer)
{
	f->observer = observer;
}

void files_free(struct files *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->files_n; i++) {
		free(f->files[i].path);
		for (int p = 0; p < PROFILES; p++) {
			frame_list_clear(&f->files[i].unnamed[p]);
			frame_list_clear(&f->files[i].unlined[p]);
		}
	}
	for (size_t i = 0; i < f->jobs_n; i++)
		free(f->jobs[i].frames);
	free(f->files);
	free(f->jobs);
	free(f->to_name);
	free(f->to_line);
	jit_free(f->jit);
	jit_free(f->jit_retired);
	free(f->to_unwind);
	free(f->late);
	free(f->late_retired);
	merge_free(f->retired);
	hmap_release(&f->by_key);
	hmap_release(&f->by_binary);
	free(f);
}

static struct file *file_add(struct files *f, const struct proc_mapping *m, uint32_t *index)
{
	struct file *file;
	char *path;

	if (array_reserve(&f->files, &f->files_cap, f->files_n + 1) < 0)
		return NULL;
	path = strdup(m->path);
	if (!path)
		return NULL;
	*index = (uint32_t)f->files_n;
	file = &f->files[f->files_n++];
	*file = (struct file){
		.inode = m->inode, .generation = m->inode_generation, .dev = m->dev, .path = path
	};
	return file;
}

/* The file that took over the inode: a compiler's output often gets that of the one just removed. */
struct file *files_succeed(struct files *f, const struct proc_mapping *m, uint32_t *index)
{
	uint32_t before = *index;
	struct file *file = file_add(f, m, index);

	if (!file)
		return NULL;
	file->successor = f->files[before].successor + 1;
	f->files[before].superseded = true;
	/* Its rules would be wrong for the new one, which may have none. */
	files_unwind_superseded(f, &f->files[before]);
	return file;
}

/* Whether the mapping is of another file than the one known by its device and inode. */
static bool is_successor(struct file *file, const struct proc_mapping *m)
{
	if (!file->generation)
		file->generation = m->inode_generation;
	return m->inode_generation && m->inode_generation != file->generation;
}

/* Found or added; with the mapping as the newest way to reach it. NULL at the bound. */
static struct file *file_get(struct files *f, uint32_t pid, const struct proc_mapping *m)
{
	struct kymo_file_key key = { .inode = m->inode, .dev = m->dev };
	struct file *file;
	uint32_t *index;
	bool new;

	index = hmap_put(&f->by_key, &key, &new);
	if (!index) {
		f->stats.dropped++;
		return NULL;
	}
	if (new) {
		file = file_add(f, m, index);
		if (!file) {
			hmap_remove(&f->by_key, &key);
			return NULL;
		}
	} else {
		file = &f->files[*index];
		if (is_successor(file, m))
			file = files_succeed(f, m, index);
		if (!file)
			return NULL;
	}
	file->pid = pid;
	file->start = m->start;
	file->end = m->end;
	files_unwind_seen(f, file);
	return file;
}

void files_seen(struct files *f, uint32_t pid, const struct proc_mapping *mapping)
{
	if (mapping->is_file)
		file_get(f, pid, mapping);
}

void files_seen_again(struct files *f, uint32_t pid, const struct proc_mapping *mapping)
{
	struct file *file = mapping->is_file ? file_get(f, pid, mapping) : NULL;

	if (file && file->state == FILE_KNOWN)
		files_change_seen(f, file);
}

void files_expect(struct files *f, const char *path)
{
	_cleanup_free_ char *real = realpath(path, NULL);
	struct proc_mapping m = { .path = real, .is_file = true };
	struct stat st;

	if (!real || stat(real, &st) < 0 || !S_ISREG(st.st_mode))
		return;
	m.inode = st.st_ino;
	m.dev = major(st.st_dev) << 20 | minor(st.st_dev);
	file_get(f, 0, &m);
}

uint32_t files_binary(struct files *f, uint32_t pid, const struct proc_mapping *mapping)
{
	struct file *file = file_get(f, pid, mapping);
	struct binary b;
	uint32_t *index;

	if (!file)
		return 0;
	if (file->binary[CURRENT])
		return file->binary[CURRENT];
	b = (struct binary){ .kind = BINARY_FILE,
			     .path = file->path,
			     .inode = file->inode,
			     .dev = file->dev,
			     .successor = file->successor,
			     .build_id = file->build_id };
	file->sampled = true;
	file->binary[CURRENT] = merge_binary(f->merge, &b);
	if (!file->binary[CURRENT])
		return 0;
	index = hmap_put(&f->by_binary, &file->binary[CURRENT], NULL);
	if (index)
		*index = (uint32_t)(file - f->files);
	return file->binary[CURRENT];
}

struct worker_file files_reach(const struct file *file)
{
	return (struct worker_file){ .inode = file->inode,
				     .dev = file->dev,
				     .pid = file->pid,
				     .start = file->start,
				     .end = file->end,
				     .path = file->path };
}

static void submit_inspects(struct files *f)
{
	while (f->inspect_next < f->files_n && f->inspect_out < INSPECT_OUT_MAX) {
		struct file *file = &f->files[f->inspect_next];
		struct worker_file wf = files_reach(file);

		if (worker_submit(f->worker, WORKER_INSPECT, &wf, NULL, 0, f->inspect_next) < 0)
			return; /* full: the next pump goes on */
		file->state = FILE_ASKED;
		/* Without memory: its stacks go by the frame pointer. */
		f->stats.failed_unwind += files_unwind_ask(f, (uint32_t)f->inspect_next) < 0;
		f->inspect_next++;
		f->inspect_out++;
		files_unwind_submit(f);
	}
}

static int queue_unnamed(struct files *f, const struct merge_unnamed *u)
{
	uint32_t *index = hmap_get(&f->by_binary, &u->binary);
	struct file *file;

	if (!index) {
		(void)jit_queue(f->jit, u); /* else neither file nor JIT: the vDSO */
		return 0;
	}
	file = &f->files[*index];
	if (frame_list_add(&file->unnamed[CURRENT], u, 1) < 0)
		return -ENOMEM;
	if (file->queued)
		return 0;
	if (array_reserve(&f->to_name, &f->to_name_cap, f->to_name_n + 1) < 0)
		return -ENOMEM;
	f->to_name[f->to_name_n++] = *index;
	file->names_due_ns = file->named ? clock_mono_ns() + NAMES_LATER_NS : 0;
	file->queued = true;
	return 0;
}

int files_take_unnamed(struct files *f)
{
	_cleanup_free_ struct merge_unnamed *batch = malloc(TAKE_BATCH * sizeof(*batch));
	size_t n;

	if (!batch)
		return -ENOMEM;
	while ((n = merge_take_unnamed(f->merge, batch, TAKE_BATCH)) > 0) {
		for (size_t i = 0; i < n; i++)
			if (queue_unnamed(f, &batch[i]) < 0)
				f->stats.failed_names++;
	}
	return 0;
}

static struct name_job *job_new(struct files *f)
{
	struct name_job *job;

	for (size_t i = 0; i < f->jobs_n; i++)
		if (!f->jobs[i].used)
			return &f->jobs[i];
	if (array_reserve(&f->jobs, &f->jobs_cap, f->jobs_n + 1) < 0)
		return NULL;
	job = &f->jobs[f->jobs_n++];
	*job = (struct name_job){ 0 };
	return job;
}

int files_submit_job(struct files *f, const struct file *file, enum worker_job_kind kind,
		     int profile, struct frame_list *list, size_t max)
{
	size_t n = list->n < max ? list->n : max;
	const struct merge_unnamed *u = &list->items[list->n - n];
	_cleanup_free_ struct merge_unnamed *frames = calloc(n, sizeof(*frames));
	_cleanup_free_ uint64_t *offsets = calloc(n, sizeof(*offsets));
	struct worker_file wf = files_reach(file);
	struct name_job *job = job_new(f);

	if (!frames || !offsets || !job)
		return -ENOMEM;
	memcpy(frames, u, n * sizeof(*u));
	for (size_t i = 0; i < n; i++)
		offsets[i] = u[i].offset;
	if (worker_submit(f->worker, kind, &wf, offsets, n, f->next_cookie) < 0)
		return 0;
	*job = (struct name_job){ .cookie = f->next_cookie++,
				  .profile = profile,
				  .file = (uint32_t)(file - f->files),
				  .frames = TAKE_PTR(frames),
				  .frames_n = n,
				  .used = true };
	list->n -= n;
	f->jobs_out++;
	return 1;
}

/* Whose frames have waited long enough. */
static bool names_due(const struct files *f, const struct file *file, uint64_t now_ns)
{
	return f->finishing || file->superseded || file->unnamed[RETIRED].n ||
	       file->unnamed[CURRENT].n >= NAME_BATCH || now_ns >= file->names_due_ns;
}

/* False: nothing more can be asked now. */
static bool submit_names_of(struct files *f, struct file *file)
{
	f->stats.failed_names += file->superseded;
	/* The profile before waits for its end: it comes first. */
	for (int p = PROFILES; p-- > 0;) {
		struct frame_list *list = &file->unnamed[p];

		while (list->n > 0 && !file->superseded)
			if (files_submit_job(f, file, WORKER_NAME, p, list, NAME_BATCH) <= 0)
				return false;
		frame_list_clear(list);
	}
	file->named = true;
	file->queued = false;
	return true;
}

static void submit_names(struct files *f)
{
	uint64_t now = f->to_name_n ? clock_mono_ns() : 0;

	for (size_t i = f->to_name_n; i-- > 0;) {
		struct file *file = &f->files[f->to_name[i]];

		if (!names_due(f, file, now))
			continue;
		if (!submit_names_of(f, file))
			return;
		f->to_name[i] = f->to_name[--f->to_name_n];
	}
}

static struct late_names *names_get(struct late_names **names)
{
	if (!*names)
		*names = calloc(1, sizeof(**names));
	return *names;
}

static void refuse_python(struct files *f, const struct elf_facts *facts)
{
	f->stats.unknown_python = facts->python_hexversion;
	f->stats.unknown_python_why = python_support(facts);
}

static void tell_python(struct files *f, const struct file *file, const struct elf_facts *facts)
{
	struct kymo_file_key key = { .inode = file->inode, .dev = file->dev };
	struct kymo_python_binary binary;
	int r = python_binary(facts, &binary);

	if (r == -ENOTSUP)
		refuse_python(f, facts);
	if (r < 0)
		return;
	(void)kern_set_python_binary(f->kern, &key, &binary);
	if (f->observer)
		f->observer->python(f->observer->data, &key, &binary);
}

/* A source needs both of its probes. */
static uint32_t sources_of(const struct elf_facts *facts)
{
	uint32_t kinds = 0, sources = 0;

	for (uint32_t i = 0; i < facts->probes_n; i++)
		kinds |= 1U << facts->probes[i].site.kind;
	if (kinds & 1U << KYMO_PROBE_GC_START && kinds & 1U << KYMO_PROBE_GC_DONE)
		sources |= KERN_SOURCE(KYMO_SOURCE_GC);
	if (kinds & 1U << KYMO_PROBE_IMPORT_START && kinds & 1U << KYMO_PROBE_IMPORT_DONE)
		sources |= KERN_SOURCE(KYMO_SOURCE_IMPORT);
	return sources;
}

static void tell_probes(struct files *f, struct file *file, const struct elf_facts *facts)
{
	const struct probes_file where = { .key = { .inode = file->inode, .dev = file->dev },
					   .generation = file->generation,
					   .pid = file->pid,
					   .start = file->start,
					   .end = file->end,
					   .path = file->path };

	file->is_python = facts->has_python;
	file->probes = sources_of(facts);
	f->stats.no_probes += file->is_python && !(file->probes & KERN_SOURCE(KYMO_SOURCE_GC));
	if (file->probes && !file->superseded)
		probes_found(f->probes, &where, facts);
}

static int take_inspect(struct files *f, const struct worker_reply *reply)
{
	struct file *file;

	if (reply->cookie >= f->files_n)
		return -EBADMSG;
	if (files_change_checked(f, reply))
		return 0;
	f->inspect_out--;
	if (reply->error == 0 && files_change_told(f, (uint32_t)reply->cookie, reply->version))
		return 0;
	file = &f->files[reply->cookie];
	file->state = FILE_KNOWN;
	file->checked_ns = clock_mono_ns();
	if (reply->error < 0) {
		/* Not an ELF file is an answer, not a failure: data files are mapped executable too. */
		f->stats.failed_inspect += reply->error != -EBADMSG;
		return 0;
	}
	file->is_elf = reply->facts.is_elf;
	file->build_id = reply->facts.build_id;
	tell_python(f, file, &reply->facts);
	tell_probes(f, file, &reply->facts);
	if (!file->build_id.size)
		return 0;
	if (file->binary[CURRENT]) {
		if (array_reserve(&f->late, &f->late_cap, f->late_n + 1) < 0)
			return -ENOMEM;
		f->late[f->late_n++] = (uint32_t)reply->cookie;
	}
	return f->retired && file->binary[RETIRED]
		       ? files_late_retired_add(f, (uint32_t)reply->cookie)
		       : 0;
}

/* Once its last process has ended, the descriptor that leads to a file of another mount namespace is kept for a moment only. */
static void hurry_names_of_ended(struct files *f)
{
	for (size_t i = 0; i < f->to_name_n; i++) {
		struct file *file = &f->files[f->to_name[i]];

		if (file->names_due_ns && file->pid && kill((pid_t)file->pid, 0) < 0 &&
		    errno == ESRCH)
			file->names_due_ns = 0;
	}
}

void files_tick_closed(struct files *f)
{
	f->late_closed = f->late_n;
	hurry_names_of_ended(f);
	files_change_tick(f);
}

static int add_build_ids(struct files *f, const uint32_t *late, size_t n, int profile,
			 struct late_names **names)
{
	struct late_names *l;

	if (!n)
		return 0;
	l = names_get(names);
	if (!l)
		return -ENOMEM;
	l->binaries = calloc(n, sizeof(*l->binaries));
	if (!l->binaries)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const struct file *file = &f->files[late[i]];

		l->binaries[l->binaries_n++] = (struct binary){ .id = file->binary[profile],
								.kind = BINARY_FILE,
								.build_id = file->build_id };
	}
	return 0;
}

static int take_build_ids(struct files *f, struct files_names *names)
{
	int r = add_build_ids(f, f->late, f->late_closed, CURRENT, &names->current);

	if (r == 0) {
		f->late_n -= f->late_closed;
		if (f->late_n)
			memmove(f->late, f->late + f->late_closed, f->late_n * sizeof(*f->late));
		f->late_closed = 0;
		r = add_build_ids(f, f->late_retired, f->late_retired_n, RETIRED, &names->retired);
	}
	if (r == 0)
		f->late_retired_n = 0;
	return r;
}

static struct name_job *job_find(struct files *f, uint64_t cookie)
{
	for (size_t i = 0; i < f->jobs_n; i++)
		if (f->jobs[i].used && f->jobs[i].cookie == cookie)
			return &f->jobs[i];
	return NULL;
}

static int add_names(struct files *f, const struct name_job *job, const struct worker_reply *reply,
		     struct late_names *l)
{
	struct frame_name *n = reallocarray(l->names, l->names_n + reply->names_n, sizeof(*n));
	struct merge *merge = job->profile == RETIRED ? f->retired : f->merge;

	if (!n)
		return -ENOMEM;
	l->names = n;
	for (size_t i = 0; i < reply->names_n && i < job->frames_n; i++) {
		const struct worker_name *name = &reply->names[i];
		struct function fn = { .kind = FRAME_NATIVE,
				       .binary = f->files[job->file].binary[job->profile],
				       .name = (char *)name->name,
				       .file = (char *)name->file };

		if (!name->name[0])
			continue;
		l->names[l->names_n] = (struct frame_name){ .frame = job->frames[i].frame,
							    .function = merge_function(merge, &fn),
							    .line = name->line };
		l->names_n += l->names[l->names_n].function != 0;
	}
	return 0;
}

static struct late_names *names_of(struct files_names *names, const struct name_job *job)
{
	return names_get(job->profile == RETIRED ? &names->retired : &names->current);
}

/* The answer's job; NULL: of a profile that has ended meanwhile. */
static struct name_job *job_done(struct files *f, const struct worker_reply *reply)
{
	struct name_job *job = job_find(f, reply->cookie);

	f->jobs_out -= job != NULL;
	return job;
}

static int take_names(struct files *f, const struct worker_reply *reply, struct files_names *names)
{
	struct name_job *job = job_done(f, reply);
	struct late_names *l;
	int r = 0;

	if (!job)
		return 0;
	/* Of another content than that which ran. */
	if (reply->error < 0 || files_change_told(f, job->file, reply->version)) {
		f->stats.failed_names++;
	} else {
		l = names_of(names, job);
		r = l ? add_names(f, job, reply, l) : -ENOMEM;
		if (r == 0)
			r = files_queue_lines(f, job);
	}
	name_job_release(job);
	return r;
}

static int take_lines(struct files *f, const struct worker_reply *reply, struct files_names *names)
{
	struct name_job *job = job_done(f, reply);
	struct late_names *l;
	struct file *file;
	int r = 0;

	files_lines_done(f, reply->parser_cpu_ns);
	if (!job)
		return 0;
	file = &f->files[job->file];
	if (reply->error < 0) {
		/* Most files have none; of others the symbols must do. */
		file->no_lines = reply->error != -EAGAIN;
		f->stats.failed_lines += reply->error != -ENOENT;
	} else if (files_change_told(f, job->file, reply->version)) {
		f->stats.failed_lines++;
	} else {
		l = names_of(names, job);
		r = l ? lines_add(job->profile == RETIRED ? f->retired : f->merge,
				  file->binary[job->profile], job->frames, job->frames_n, reply, l)
		      : -ENOMEM;
	}
	name_job_release(job);
	return r;
}

static int take_map(struct files *f, const struct worker_reply *reply, struct files_names *names)
{
	bool retired = f->jit_retired && jit_asked(f->jit_retired, reply);
	struct late_names *l = names_get(retired ? &names->retired : &names->current);

	return l ? jit_take(retired ? f->jit_retired : f->jit, reply, l) : -ENOMEM;
}

void files_memory(struct files *f, uint32_t binary, const struct kymo_who *who)
{
	jit_seen(f->jit, binary, who);
}

static int take_replies(struct files *f, struct files_names *names)
{
	struct worker_reply *reply;
	int r = 0;

	while ((reply = worker_fetch(f->worker))) {
		int q = reply->kind == WORKER_INSPECT  ? take_inspect(f, reply)
			: reply->kind == WORKER_UNWIND ? files_unwind_take(f, reply)
			: reply->kind == WORKER_LINES  ? take_lines(f, reply, names)
			: reply->kind == WORKER_MAP    ? take_map(f, reply, names)
						       : take_names(f, reply, names);

		worker_reply_free(reply);
		if (q < 0)
			r = q;
	}
	return r;
}

int files_pump(struct files *f, struct files_names *ret)
{
	struct files_names names = { 0 };
	int r = take_replies(f, &names);

	if (take_build_ids(f, &names) < 0)
		r = -ENOMEM;
	submit_inspects(f);
	files_unwind_submit(f);
	if (files_take_unnamed(f) < 0)
		r = -ENOMEM;
	submit_names(f);
	if (f->jit_retired)
		jit_submit(f->jit_retired, true);
	jit_submit(f->jit, f->finishing);
	files_submit_lines(f);
	/* Functions given since the last tick are the next tick's, unless names go out before it. */
	if (names.current && merge_take_functions(f->merge, names.current) < 0)
		r = -ENOMEM;
	if (names.retired && merge_take_functions(f->retired, names.retired) < 0)
		r = -ENOMEM;
	*ret = names;
	return r;
}

size_t files_pending(struct files *f)
{
	return f->jobs_out + f->inspect_out + f->to_name_n + f->to_line_n + jit_pending(f->jit) +
	       (f->jit_retired ? jit_pending(f->jit_retired) : 0) + (f->files_n - f->inspect_next);
}

void files_finish(struct files *f)
{
	f->finishing = true;
}

size_t files_uninspected(const struct files *f)
{
	return f->inspect_out + (f->files_n - f->inspect_next) + f->unwind_out +
	       (f->to_unwind_n - f->unwind_next);
}

void files_stats(const struct files *f, struct files_stats *ret)
{
	struct jit_stats jit;

	jit_stats(f->jit, &jit);
	*ret = f->stats;
	ret->refused_maps = jit.refused;
	ret->dropped += jit.dropped;
}

size_t files_without_probes(const struct files *f, enum kymo_source source,
			    struct files_python *ret, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < f->files_n && n < max; i++) {
		const struct file *file = &f->files[i];

		if (file->is_python && file->sampled && !(file->probes & KERN_SOURCE(source)))
			ret[n++] = (struct files_python){ file->path, file->pid };
	}
	return n;
}
