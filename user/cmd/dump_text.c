/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "cmd/dump_print.h"
#include "model/sample.h"
#include "query/query.h"

/* From outside: escaped for the terminal. */
static void print_safe(const char *text)
{
	struct buf b = { 0 };

	if (text_append_terminal(&b, text) == 0 && buf_str(&b))
		fputs(buf_str(&b), stdout);
	buf_release(&b);
}

static void print_name(const struct dump_frame *f)
{
	char room[QUERY_CODE_NAME_SIZE];

	if (f->function)
		print_safe(query_native_name(f->function, f->binary, room));
	else
		print_safe(query_code_name(f->binary, room));
}

static void print_python(const struct dump_frame *f)
{
	fputs("  File \"", stdout);
	print_safe(f->function->file);
	printf("\", line %" PRIu32 " in ", f->line);
	print_safe(f->function->name);
}

/* faulthandler's way with its own C stack. */
static void print_native(const struct dump_frame *f)
{
	fputs("  Binary file \"", stdout);
	print_safe(f->binary ? query_base_name(f->binary->path) : "?");
	fputs("\", at ", stdout);
	print_name(f);
	if (f->function && f->function->file[0]) {
		fputs(" (", stdout);
		print_safe(query_base_name(f->function->file));
		if (f->line)
			printf(":%" PRIu32, f->line);
		putchar(')');
	}
	if (f->inlined)
		fputs(" (inlined)", stdout);
}

static void print_frame(struct screen *s, const struct dump_frame *f)
{
	enum screen_style style = style_of_kind(f->kind);

	fputs(screen_style(s, style), stdout);
	if (f->kind == FRAME_PYTHON && f->function) {
		print_python(f);
	} else if (f->kind == FRAME_NATIVE) {
		print_native(f);
	} else {
		fputs(f->kind == FRAME_KERNEL ? "  Kernel, at " : "  ", stdout);
		print_name(f);
	}
	fputs(screen_plain(s), stdout);
	putchar('\n');
}

static const char *gil_of(const struct dump_thread *t)
{
	if (t->held_gil)
		return ", held the GIL";
	if (t->bits & KYMO_STATE_IN_GC)
		return ", holds the GIL, collects garbage";
	if (t->bits & KYMO_STATE_GIL_HOLDING)
		return ", holds the GIL";
	if (t->bits & KYMO_STATE_GIL_WAITING)
		return ", waits for the GIL";
	return "";
}

const char *const dump_state_words[DUMP_STATE_MAX] = {
	[DUMP_RUNS] = "runs",	    [DUMP_RUNNABLE] = "waits for a CPU", [DUMP_SLEEPS] = "sleeps",
	[DUMP_BLOCKED] = "blocked", [DUMP_STOPPED] = "stopped",		 [DUMP_ENDED] = "has ended",
};

static void print_thread(struct screen *s, const struct dump_thread *t)
{
	bool holds = t->bits & KYMO_STATE_GIL_HOLDING && !t->held_gil;

	putchar('\n');
	fputs(screen_style(s, STYLE_BOLD), stdout);
	printf("%s 0x%016" PRIx64 " [", holds ? "Current thread" : "Thread", t->ident);
	print_safe(t->name[0] ? t->name : t->comm);
	fputs("] (most recent call first):", stdout);
	fputs(screen_plain(s), stdout);
	printf("\n  # thread %" PRIu32 " %s%s\n", t->tid, dump_state_words[t->state], gil_of(t));
	if (t->how == DUMP_MISSED && t->state != DUMP_ENDED)
		puts("  <no stack: it never stood still>");
	if (t->how == DUMP_UNREAD)
		puts("  <no stack: reading the process's memory did not come to an end>");
	for (size_t i = 0; i < t->frames_n; i++)
		print_frame(s, &t->frames[i]);
}

static void print_process(struct screen *s, const struct dump_process *p)
{
	fputs(screen_style(s, STYLE_BOLD), stdout);
	printf("Process %" PRIu32 ": ", p->pid);
	print_safe(p->cmdline[0] ? p->cmdline : p->comm);
	fputs(screen_plain(s), stdout);
	putchar('\n');
	if (p->bits_32)
		puts("  <a 32-bit program: its stacks are not walked beyond the first frame>");
	for (size_t i = 0; i < p->threads_n; i++)
		print_thread(s, &p->threads[i]);
}

void dump_print_text(struct screen *s, const struct dump *d)
{
	for (size_t i = 0; i < d->processes_n; i++) {
		if (i)
			putchar('\n');
		print_process(s, &d->processes[i]);
	}
}
