/* SPDX-License-Identifier: Apache-2.0 */
/* What is written is what is read: random ticks through a file. */
#include "unit/test.h"

#include "base/cleanup.h"
#include "store/store.h"
#include "unit/store/folder.h"
#include "unit/store/world.h"

#define TICKS 130 /* two keyframes */

struct recording {
	struct tick *ticks[TICKS];
};

static void recording_free(struct recording *r)
{
	for (int i = 0; i < TICKS; i++)
		tick_free(r->ticks[i]);
}

static void write_recording(const char *path, struct recording *rec, bool clean)
{
	struct world w = { .seed = 42 };
	struct store *s = folder_create(path);

	assert_int_equal(store_set_meta(s, "host", "somewhere"), 0);
	assert_int_equal(store_set_meta(s, "host", "here"), 0);
	for (int i = 0; i < TICKS; i++) {
		rec->ticks[i] = world_tick(&w, i % 7, i % 11 * 40);
		assert_int_equal(store_write_tick(s, rec->ticks[i]), 0);
	}
	if (clean)
		assert_int_equal(store_finish(s), 0);
	store_close(s);
}

static void check_rows(const struct tick *t, const struct store_block *b)
{
	int64_t owed = 0;

	assert_int_equal(b->rows_n, t->rows_n);
	assert_int_equal(b->offsets_n, t->offsets_n);
	if (t->offsets_n)
		assert_memory_equal(b->offsets_us, t->offsets_us, t->offsets_n * sizeof(uint32_t));
	for (size_t i = 0; i < t->rows_n; i++) {
		struct tick_row want = t->rows[i], got = b->rows[i];

		/* CPU time is kept in us: each row's rest is in the thread's next one. */
		if (i == 0 || want.thread != t->rows[i - 1].thread)
			owed = 0;
		owed += want.seen.cpu_ns - got.seen.cpu_ns;
		assert_true(owed > -1000 && owed < 1000);
		assert_int_equal(got.seen.cpu_ns % 1000, 0);
		want.seen.cpu_ns = got.seen.cpu_ns = 0;
		assert_memory_equal(&want, &got, sizeof(want));
	}
}

static void check_ticks(struct store_reader *r, const struct recording *rec)
{
	_cleanup_free_ struct store_tick *ticks = NULL;
	struct store_block block = { 0 };
	size_t n = 0;

	assert_int_equal(store_read_ticks(r, &ticks, &n), 0);
	assert_int_equal(n, TICKS);
	for (size_t i = 0; i < n; i++) {
		const struct tick *t = rec->ticks[i];

		assert_int_equal(ticks[i].id, t->id);
		assert_int_equal(ticks[i].start_ns, t->start_ns);
		assert_int_equal(ticks[i].end_ns, t->end_ns);
		assert_int_equal(ticks[i].wall_ns, t->wall_ns);
		assert_int_equal(ticks[i].rows, t->rows_n);
		assert_int_equal(ticks[i].health.read_errors, t->health.read_errors);
		assert_memory_equal(ticks[i].health.present, t->health.present,
				    sizeof(t->health.present));
		assert_memory_equal(ticks[i].health.value, t->health.value,
				    sizeof(t->health.value));
		assert_int_equal(store_read_block(r, t->id, &block), 0);
		check_rows(t, &block);
	}
	/* A tick that is not there has no samples. */
	assert_int_equal(store_read_block(r, 100000, &block), 0);
	assert_int_equal(block.rows_n, 0);
	store_block_release(&block);
}

static void check_names(const struct store_tables *t, const struct recording *rec)
{
	size_t at = 0;

	for (int i = 0; i < TICKS; i++)
		for (size_t k = 0; k < rec->ticks[i]->binaries_n; k++, at++) {
			const struct binary *b = &rec->ticks[i]->binaries[k], *c = &t->binaries[at];
			const struct function *f = &rec->ticks[i]->functions[k],
					      *g = &t->functions[at];

			assert_int_equal(b->id, c->id);
			assert_int_equal(b->kind, c->kind);
			assert_string_equal(b->path, c->path);
			assert_int_equal(b->inode, c->inode);
			assert_int_equal(b->dev, c->dev);
			assert_memory_equal(&b->build_id, &c->build_id, sizeof(b->build_id));
			assert_int_equal(f->id, g->id);
			assert_int_equal(f->kind, g->kind);
			assert_int_equal(f->binary, g->binary);
			assert_string_equal(f->name, g->name);
			assert_string_equal(f->file, g->file);
			assert_int_equal(f->first_line, g->first_line);
			assert_memory_equal(&rec->ticks[i]->frames[k], &t->frames[at],
					    sizeof(struct frame));
			assert_memory_equal(&rec->ticks[i]->stacks[k], &t->stacks[at],
					    sizeof(struct stack));
		}
	assert_int_equal(t->binaries_n, at);
	assert_int_equal(t->functions_n, at);
	assert_int_equal(t->frames_n, at);
	assert_int_equal(t->stacks_n, at);
}

static void check_processes(const struct store_tables *t, const struct recording *rec)
{
	size_t at = 0;

	for (int i = 0; i < TICKS; i++)
		for (size_t k = 0; k < rec->ticks[i]->processes_n; k++, at++) {
			const struct process *p = &rec->ticks[i]->processes[k],
					     *q = &t->processes[at];

			assert_int_equal(p->id, q->id);
			assert_int_equal(p->pid, q->pid);
			assert_int_equal(p->parent_pid, q->parent_pid);
			assert_int_equal(p->uid, q->uid);
			assert_int_equal(p->start_ns, q->start_ns);
			assert_int_equal(p->cgroup_id, q->cgroup_id);
			assert_string_equal(p->comm, q->comm);
			assert_string_equal(p->exe, q->exe);
			assert_string_equal(p->cmdline, q->cmdline);
			assert_int_equal(rec->ticks[i]->threads[k].id, t->threads[at].id);
			assert_int_equal(rec->ticks[i]->threads[k].process, t->threads[at].process);
			assert_int_equal(rec->ticks[i]->threads[k].tid, t->threads[at].tid);
			assert_int_equal(rec->ticks[i]->threads[k].start_ns,
					 t->threads[at].start_ns);
			assert_string_equal(rec->ticks[i]->threads[k].comm, t->threads[at].comm);
			assert_string_equal(thread_shown(&rec->ticks[i]->threads[k]),
					    thread_shown(&t->threads[at]));
		}
	assert_int_equal(t->processes_n, at);
	assert_int_equal(t->threads_n, at);
}

/* Sums, which do not depend on the order of the rows. */
struct sums {
	const struct recording *rec;
	uint64_t rows, value;
};

static int add_quality(void *data, const struct store_quality *q)
{
	struct sums *s = data;

	s->rows++;
	s->value += (uint64_t)q->value * (1 + q->tick) + (uint64_t)q->counter[strlen("counter ")];
	return 0;
}

static int add_label(void *data, const struct store_label *l)
{
	struct sums *s = data;
	const struct health *h = &s->rec->ticks[l->tick - 1]->health;

	assert_string_equal(l->unit, "By");
	assert_int_equal(strncmp(l->metric, "metric ", 7), 0);
	assert_int_equal(strncmp(l->labels, "cpu= ", 5), 0);
	assert_int_equal(h->labels[atoi(l->metric + 7) - 1].value, l->value);
	s->rows++;
	return 0;
}

static int add_account(void *data, uint32_t tick, const struct process_tick *p)
{
	struct sums *s = data;
	const struct tick *t = s->rec->ticks[tick - 1];

	assert_true(p->process >= 1 && p->process <= t->process_ticks_n);
	assert_int_equal(p->ended, t->process_ticks[p->process - 1].ended);
	assert_memory_equal(&p->change, &t->process_ticks[p->process - 1].change,
			    sizeof(p->change));
	s->rows++;
	return 0;
}

static int add_event(void *data, uint32_t tick, const struct event *e)
{
	struct sums *s = data;
	const struct tick *t = s->rec->ticks[tick - 1];
	const struct event *want = &t->events[s->value];

	while (s->value < t->events_n && want->time_ns != e->time_ns)
		want = &t->events[++s->value];
	if (s->value == t->events_n)
		want = &t->events[s->value = 0];
	assert_int_equal(want->kind, e->kind);
	assert_int_equal(want->duration_ns, e->duration_ns);
	assert_int_equal(want->thread, e->thread);
	assert_int_equal(want->stack, e->stack);
	if (want->fields)
		assert_string_equal(want->fields, e->fields);
	else
		assert_null(e->fields);
	s->value = 0;
	s->rows++;
	return 0;
}

static void check_accounts(struct store_reader *r, const struct recording *rec)
{
	struct sums quality = { rec, 0, 0 }, labels = { rec, 0, 0 }, accounts = { rec, 0, 0 };
	struct sums events = { rec, 0, 0 }, want = { rec, 0, 0 };
	uint64_t labels_n = 0, accounts_n = 0, events_n = 0;

	for (int i = 0; i < TICKS; i++) {
		const struct tick *t = rec->ticks[i];

		for (size_t k = 0; k < t->quality_n; k++)
			add_quality(&want, &(struct store_quality){ t->id, t->quality[k].counter,
								    t->quality[k].value });
		labels_n += t->health.labels_n;
		accounts_n += t->process_ticks_n;
		events_n += t->events_n;
	}
	assert_int_equal(store_read_quality(r, add_quality, &quality), 0);
	assert_int_equal(quality.rows, want.rows);
	assert_int_equal(quality.value, want.value);
	assert_int_equal(store_read_labels(r, add_label, &labels), 0);
	assert_int_equal(labels.rows, labels_n);
	assert_int_equal(store_read_process_ticks(r, add_account, &accounts), 0);
	/* Random ones change, but for a few that are all zero. */
	assert_in_range(accounts.rows, accounts_n * 95 / 100, accounts_n);
	assert_int_equal(store_read_events(r, add_event, &events), 0);
	assert_int_equal(events.rows, events_n);
}

static void test_random_ticks(void **state)
{
	struct folder *f = *state;

	for (int clean = 0; clean < 2; clean++) {
		struct recording rec = { 0 };
		struct store_tables tables = { 0 };
		struct store_reader *r;

		write_recording(f->profile, &rec, clean);
		r = folder_open(f->profile);
		assert_string_equal(store_meta(r, "host"), "here");
		assert_null(store_meta(r, "nothing"));
		assert_int_equal(store_ended(r), clean);
		check_ticks(r, &rec);
		assert_int_equal(store_read_tables(r, &tables), 0);
		check_names(&tables, &rec);
		check_processes(&tables, &rec);
		check_accounts(r, &rec);
		store_tables_release(&tables);
		store_reader_close(r);
		recording_free(&rec);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_random_ticks, folder_setup, folder_teardown),
	};

	return cmocka_run_group_tests_name("store: round trip", tests, NULL, NULL);
}
