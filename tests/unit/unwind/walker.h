/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks this process's own stacks by its own tables: from registers to the outermost frame. The
 * tables are made beforehand, so that a signal handler can walk.
 */
#ifndef KYMO_TEST_UNWIND_WALKER_H
#define KYMO_TEST_UNWIND_WALKER_H

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <ucontext.h>
#include <unistd.h>

#include "unwind/arch.h"
#include "unwind/step.h"
#include "unwind/unwind.h"

#define WALK_FRAMES_MAX	  2048
#define WALK_MODULES_MAX  64
#define WALK_READABLE_MAX 512

struct walk_range {
	uint64_t start, end;
};

/* An executable mapping and the rules of its file. */
struct walk_module {
	struct walk_range at;
	uint64_t offset;
	struct unwind_table *table;
	char path[256];
};

struct walker {
	const struct unwind_arch *arch;
	struct walk_module modules[WALK_MODULES_MAX];
	size_t modules_n;
	struct walk_range readable[WALK_READABLE_MAX];
	size_t readable_n;
};

struct walk {
	struct walk_frame {
		uint64_t pc, sp, fp;
		bool signal; /* the frame before it was a signal's */
	} frames[WALK_FRAMES_MAX];
	size_t n;
	enum unwind_step end;
};

static inline void walker_add_module(struct walker *w, const struct walk_module *m)
{
	struct walk_module *to = &w->modules[w->modules_n];
	int fd, r;

	if (w->modules_n == WALK_MODULES_MAX)
		return;
	*to = *m;
	if (strcmp(m->path, "[vdso]") == 0) {
		r = unwind_table_build_vdso(&to->table);
	} else {
		fd = open(m->path, O_RDONLY | O_CLOEXEC);
		r = fd < 0 ? -1 : unwind_table_build(fd, &to->table);
		if (fd >= 0)
			close(fd);
	}
	w->modules_n += r == 0;
}

static inline void walker_init(struct walker *w)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], permissions[8];

	memset(w, 0, sizeof(*w));
	w->arch = unwind_arch(EM_X86_64);
	while (maps && fgets(line, sizeof(line), maps)) {
		struct walk_module m = { 0 };

		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %255s", &m.at.start, &m.at.end,
			   permissions, &m.offset, m.path) < 4)
			continue;
		if (permissions[0] == 'r' && w->readable_n < WALK_READABLE_MAX)
			w->readable[w->readable_n++] = m.at;
		if (permissions[2] == 'x' && m.path[0] != 0)
			walker_add_module(w, &m);
	}
	if (maps)
		fclose(maps);
}

/* The stack is not in the list as it grew since, and alternate stacks lie in .bss: a range may be added. */
static inline void walker_add_readable(struct walker *w, const void *start, size_t size)
{
	if (w->readable_n < WALK_READABLE_MAX)
		w->readable[w->readable_n++] =
			(struct walk_range){ (uint64_t)start, (uint64_t)start + size };
}

static inline void walker_release(struct walker *w)
{
	for (size_t i = 0; i < w->modules_n; i++)
		unwind_table_free(w->modules[i].table);
	w->modules_n = 0;
}

__attribute__((no_sanitize("address"))) static inline int walker_read(void *data, uint64_t address,
								      uint64_t *ret)
{
	const struct walker *w = data;

	for (size_t i = 0; i < w->readable_n; i++) {
		if (address < w->readable[i].start || address + 8 > w->readable[i].end)
			continue;
		/* Byte by byte for the sanitizer's sake: hostile frames need not be aligned. */
		for (int k = 0; k < 8; k++)
			((volatile uint8_t *)ret)[k] = ((const volatile uint8_t *)address)[k];
		return 0;
	}
	return -1;
}

static inline const struct kymo_unwind_rule *walker_rule(const struct walker *w, uint64_t pc)
{
	static const struct kymo_unwind_rule gap;

	for (size_t i = 0; i < w->modules_n; i++) {
		const struct walk_module *m = &w->modules[i];

		if (pc >= m->at.start && pc < m->at.end)
			return unwind_table_find(m->table, pc - m->at.start + m->offset);
	}
	return &gap;
}

/* The registers of x86-64 as a signal handler or getcontext has them. */
static inline void walker_registers(const ucontext_t *uc, struct unwind_frame *ret)
{
	static const int order[] = { REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
				     REG_RBP, REG_RSP, REG_R8,	REG_R9,	 REG_R10, REG_R11,
				     REG_R12, REG_R13, REG_R14, REG_R15 };

	*ret = (struct unwind_frame){ .pc = (uint64_t)uc->uc_mcontext.gregs[REG_RIP],
				      .known = 0xffff };
	for (int i = 0; i < 16; i++)
		ret->registers[i] = (uint64_t)uc->uc_mcontext.gregs[order[i]];
}

/* From the frame to the outermost one. */
static inline void walker_walk(struct walker *w, struct unwind_frame frame, struct walk *ret)
{
	ret->n = 0;
	ret->end = UNWIND_STEP_OK;
	while (ret->end == UNWIND_STEP_OK && ret->n < WALK_FRAMES_MAX) {
		uint64_t pc = frame.exact ? frame.pc : frame.pc - 1;

		ret->frames[ret->n++] =
			(struct walk_frame){ frame.pc, frame.registers[KYMO_UNWIND_X86_RSP],
					     frame.registers[KYMO_UNWIND_X86_RBP], frame.signal };
		ret->end = unwind_step(w->arch, walker_rule(w, pc), &frame, walker_read, w);
	}
}

/* For messages: which file, where. */
static inline void walker_print(const struct walker *w, const struct walk *walk)
{
	for (size_t i = 0; i < walk->n && i < 40; i++) {
		const struct walk_module *m = NULL;
		uint64_t pc = walk->frames[i].pc;

		for (size_t k = 0; k < w->modules_n; k++)
			if (pc >= w->modules[k].at.start && pc < w->modules[k].at.end)
				m = &w->modules[k];
		fprintf(stderr, "  %zu: %s+0x%lx sp 0x%lx%s\n", i, m ? m->path : "?",
			m ? pc - m->at.start + m->offset : pc, walk->frames[i].sp,
			walk->frames[i].signal ? " interrupted" : "");
	}
	fprintf(stderr, "  end %d after %zu frames\n", walk->end, walk->n);
}

#endif
