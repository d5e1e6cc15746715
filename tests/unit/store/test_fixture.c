/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A profile that an earlier build wrote is read as it was meant: whoever changes the format finds this failing,
 * raises STORE_FORMAT_VERSION, and makes the fixture anew (this program with the new file's path as its argument,
 * then gzip -9n; the totals are those that it prints).
 */
#include "unit/test.h"

#include <inttypes.h>
#include <zlib.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "unit/store/folder.h"
#include "unit/store/world.h"

#define FIXTURES	  "tests/fixtures/profiles/"
#define FIXTURE_BYTES_MAX (1 << 20)

/* Sums wrap; texts count by their bytes. */
struct totals {
	uint64_t ticks, health, rows, samples, weight, row_keys, offsets, seen;
	uint64_t binaries, functions, frames, stacks, processes, threads, texts;
	uint64_t process_ticks, accounts, events, labels, quality;
	uint64_t thread_names;
};

static const struct totals known_v2 = {
	.ticks = 6800000038000000010U,
	.health = 4774191832798985271U,
	.rows = 86U,
	.samples = 233U,
	.weight = 276524652367975342U,
	.row_keys = 33769088U,
	.offsets = 7966139975642U,
	.seen = 15081810827189492773U,
	.binaries = 307145312092544929U,
	.functions = 13054283121U,
	.frames = 55275481152268439U,
	.stacks = 1977U,
	.processes = 424330500532150122U,
	.threads = 1024839692153854230U,
	.texts = 869U,
	.process_ticks = 30U,
	.accounts = 1484472164492890649U,
	.events = 53354016844962042U,
	.labels = 7431433972386650872U,
	.quality = 5847405193587169U,
};

static const struct totals known_v3 = {
	.ticks = 6800000038000000010U,
	.health = 16568105992765313123U,
	.rows = 86U,
	.samples = 195U,
	.weight = 374885813240720752U,
	.row_keys = 14464289U,
	.offsets = 5380078640186U,
	.seen = 16431000345917068141U,
	.binaries = 300689687483672458U,
	.functions = 16132683075U,
	.frames = 43010068549142100U,
	.stacks = 2086U,
	.processes = 2275366449060090471U,
	.threads = 1931768389263307441U,
	.texts = 871U,
	.process_ticks = 30U,
	.accounts = 8756633993987757812U,
	.events = 17464600919428902561U,
	.labels = 7497849586879614874U,
	.quality = 316501810343082058U,
	.thread_names = 587U,
};

static void make_fixture(const char *path)
{
	struct world w = { .seed = 2 };
	struct store *s = folder_create(path);

	assert_int_equal(store_set_meta(s, "host", "fixture"), 0);
	for (uint32_t i = 0; i < 4; i++) {
		struct tick *t = world_tick(&w, 3, 20 + i);

		assert_int_equal(store_write_tick(s, t), 0);
		tick_free(t);
	}
	assert_int_equal(store_finish(s), 0);
	store_close(s);
}

static uint64_t seen_sum(const struct seen *s)
{
	const int64_t fields[SEEN_FIELDS] = {
		s->cpu_ns,	   s->rss_anon_pages,	  s->minor_faults,	   s->major_faults,
		s->rss_file_pages, s->rss_shmem_pages,	  s->swap_pages,	   s->read_bytes,
		s->write_bytes,	   s->voluntary_switches, s->involuntary_switches,
	};
	uint64_t sum = 0;

	for (size_t i = 0; i < SEEN_FIELDS; i++)
		sum += (i + 1) * (uint64_t)fields[i];
	return sum;
}

static void add_rows(struct totals *t, const struct store_block *b)
{
	t->rows += b->rows_n;
	t->samples += b->offsets_n;
	for (size_t i = 0; i < b->offsets_n; i++)
		t->offsets += (i + 1) * b->offsets_us[i];
	for (size_t i = 0; i < b->rows_n; i++) {
		const struct tick_row *r = &b->rows[i];

		t->weight += r->weight;
		t->row_keys += (i + 1) * (r->thread + 3ULL * r->stack + 5ULL * r->source +
					  7ULL * r->state + 11ULL * r->end + 13ULL * r->count);
		t->seen += seen_sum(&r->seen);
	}
}

static void add_ticks(struct totals *t, struct store_reader *r)
{
	_cleanup_free_ struct store_tick *ticks = NULL;
	struct store_block block = { 0 };
	size_t n = 0;

	assert_int_equal(store_read_ticks(r, &ticks, &n), 0);
	for (size_t i = 0; i < n; i++) {
		t->ticks += ticks[i].id + ticks[i].start_ns + ticks[i].end_ns + ticks[i].wall_ns;
		for (size_t h = 0; h < HEALTH_MAX; h++)
			if (ticks[i].health.present[h])
				t->health += (h + 1) * (uint64_t)ticks[i].health.value[h];
		assert_int_equal(store_read_block(r, ticks[i].id, &block), 0);
		add_rows(t, &block);
	}
	store_block_release(&block);
}

static void add_tables(struct totals *t, struct store_reader *r)
{
	struct store_tables s;

	assert_int_equal(store_read_tables(r, &s), 0);
	for (size_t i = 0; i < s.binaries_n; i++) {
		const struct binary *b = &s.binaries[i];

		t->binaries += b->id + b->kind + b->inode + b->dev + b->build_id.size;
		t->texts += strlen(b->path);
	}
	for (size_t i = 0; i < s.functions_n; i++) {
		const struct function *f = &s.functions[i];

		t->functions += f->id + f->kind + f->binary + f->first_line;
		t->texts += strlen(f->name) + strlen(f->file);
	}
	for (size_t i = 0; i < s.frames_n; i++) {
		const struct frame *f = &s.frames[i];

		t->frames +=
			f->id + f->kind + f->binary + f->offset + f->function + f->line + f->by_fp;
	}
	for (size_t i = 0; i < s.stacks_n; i++)
		t->stacks +=
			(i + 1) * (s.stacks[i].id + 3ULL * s.stacks[i].parent + s.stacks[i].frame);
	for (size_t i = 0; i < s.processes_n; i++) {
		const struct process *p = &s.processes[i];

		t->processes += p->id + p->pid + p->parent_pid + p->uid + p->start_ns;
		t->texts += strlen(p->exe) + strlen(p->cmdline);
	}
	for (size_t i = 0; i < s.threads_n; i++) {
		t->threads += s.threads[i].id + s.threads[i].process + s.threads[i].tid +
			      s.threads[i].start_ns;
		t->thread_names += (i + 1) * strlen(s.threads[i].name);
	}
	store_tables_release(&s);
}

static int add_quality(void *data, const struct store_quality *q)
{
	struct totals *t = data;

	t->quality += q->tick + strlen(q->counter) + (uint64_t)q->value;
	return 0;
}

static int add_label(void *data, const struct store_label *l)
{
	struct totals *t = data;

	t->labels += l->tick + strlen(l->metric) + strlen(l->labels) + (uint64_t)l->value;
	return 0;
}

static int add_account(void *data, uint32_t tick, const struct process_tick *p)
{
	struct totals *t = data;

	t->process_ticks++;
	t->accounts += tick + p->process + p->ended + seen_sum(&p->change);
	return 0;
}

static int add_event(void *data, uint32_t tick, const struct event *e)
{
	struct totals *t = data;

	t->events += tick + e->kind + e->time_ns + e->duration_ns + e->thread + e->stack;
	return 0;
}

static struct totals read_totals(const char *path)
{
	struct store_reader *r = folder_open(path);
	struct totals t = { 0 };

	assert_string_equal(store_meta(r, "host"), "fixture");
	assert_true(store_ended(r));
	add_ticks(&t, r);
	add_tables(&t, r);
	assert_int_equal(store_read_quality(r, add_quality, &t), 0);
	assert_int_equal(store_read_labels(r, add_label, &t), 0);
	assert_int_equal(store_read_process_ticks(r, add_account, &t), 0);
	assert_int_equal(store_read_events(r, add_event, &t), 0);
	store_reader_close(r);
	return t;
}

static void print_totals(const struct totals *t)
{
	const uint64_t *numbers = (const uint64_t *)t;

	for (size_t i = 0; i < sizeof(*t) / sizeof(*numbers); i++)
		printf("%" PRIu64 "U,\n", numbers[i]);
}

static void unpack(const char *fixture, const char *path)
{
	_cleanup_free_ char *data = malloc(FIXTURE_BYTES_MAX);
	gzFile in = gzopen(fixture, "r");
	FILE *out = fopen(path, "w");
	int n;

	assert_non_null(data);
	if (!in)
		fail_msg("%s: run this in the top folder", fixture);
	assert_non_null(out);
	n = gzread(in, data, FIXTURE_BYTES_MAX);
	assert_true(n > 0);
	assert_int_equal(fwrite(data, 1, (size_t)n, out), n);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(gzclose(in), Z_OK);
}

static void check_fixture(const struct folder *f, const char *fixture, unsigned format,
			  const struct totals *known)
{
	_cleanup_free_ char *message = NULL;
	struct store_reader *r;
	struct totals t;

	unpack(fixture, f->profile);
	assert_int_equal(store_open(f->profile, &r, &message), 0);
	assert_int_equal(store_format(r), format);
	store_reader_close(r);
	t = read_totals(f->profile);
	if (memcmp(&t, known, sizeof(t)) != 0) {
		print_totals(&t);
		fail_msg("the fixture's totals are others: was the format changed without a new "
			 "version?");
	}
}

static void test_fixtures_are_read(void **state)
{
	check_fixture(*state, FIXTURES "v2.kymo.gz", 2, &known_v2);
	check_fixture(*state, FIXTURES "v3.kymo.gz", 3, &known_v3);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fixtures_are_read, folder_setup,
						folder_teardown),
	};
	struct totals t;

	if (argc < 2)
		return cmocka_run_group_tests_name("store: fixture", tests, NULL, NULL);
	make_fixture(argv[1]);
	t = read_totals(argv[1]);
	print_totals(&t);
	return 0;
}
