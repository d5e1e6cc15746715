/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "python/layouts.h"

/* Of specific_1stblock in glibc's struct pthread (nptl/descr.h), x86-64. */
#define GLIBC_SPECIFIC 0x310
/* Of tsd in musl's (src/internal/pthread_impl.h), since 1.1.20. */
#define MUSL_VALUES 0x80
/* The cframe is linked in and filled within this of the eval loop's entry; +0x45 to +0xa5 were seen. */
#define PROLOGUE_BYTES 0x100

static int find_key(const struct elf_facts *facts, const struct kymo_python_layout *l,
		    struct kymo_python_binary *ret)
{
	if (l->runtime_key)
		ret->key_vaddr = facts->runtime_vaddr ? facts->runtime_vaddr + l->runtime_key : 0;
	else
		ret->key_vaddr = facts->tls_key_vaddr;
	return ret->key_vaddr ? 0 : -ENOTSUP;
}

static uint64_t find_gil(const struct elf_facts *facts, const struct kymo_python_layout *l)
{
	if (l->gil == KYMO_PYTHON_GIL_RUNTIME)
		return facts->runtime_vaddr + l->gil_offset;
	if (l->gil == KYMO_PYTHON_GIL_CURRENT)
		return facts->thread_state_current_vaddr;
	return 0;
}

static struct kymo_file_range find_prologue(const struct elf_facts *facts,
					    const struct kymo_python_layout *l)
{
	const struct kymo_file_range *eval = &facts->eval[0];
	struct kymo_file_range ret = { 0 };

	if (l->frames != KYMO_PYTHON_FRAME_CFRAME || eval->end <= eval->start)
		return ret;
	ret.start = eval->start;
	ret.end = eval->end - eval->start > PROLOGUE_BYTES ? eval->start + PROLOGUE_BYTES
							   : eval->end;
	return ret;
}

enum python_support python_support(const struct elf_facts *facts)
{
	const struct kymo_python_layout *layouts;
	int row = python_layout_find(facts->python_hexversion);

	/* Objects have another head, code another place: a layout of its own in every respect. */
	if (facts->python_free_threaded)
		return PYTHON_FREE_THREADED;
	if (row < 0)
		return PYTHON_VERSION_UNKNOWN;
	/* Where other C libraries keep the values of pthread keys is not known. */
	if (facts->libc == ELF_LIBC_OTHER)
		return PYTHON_LIBC_UNKNOWN;
	python_layouts(&layouts);
	return python_offsets_agree(facts, &layouts[row]) ? PYTHON_SUPPORTED
							  : PYTHON_LAYOUT_CHANGED;
}

int python_binary(const struct elf_facts *facts, struct kymo_python_binary *ret)
{
	struct kymo_python_binary binary = { 0 };
	const struct kymo_python_layout *layouts;
	int row, r;

	if (!facts->is_elf || !facts->has_python)
		return -ENOENT;
	if (python_support(facts) != PYTHON_SUPPORTED)
		return -ENOTSUP;
	row = python_layout_find(facts->python_hexversion);
	python_layouts(&layouts);
	r = find_key(facts, &layouts[row], &binary);
	if (r < 0)
		return r;
	binary.runtime_vaddr = facts->runtime_vaddr;
	binary.gil_vaddr = find_gil(facts, &layouts[row]);
	binary.text_offset_bias = facts->text_offset_bias;
	binary.code_type_vaddr = facts->code_type_vaddr;
	memcpy(binary.eval, facts->eval, sizeof(binary.eval));
	binary.torn = find_prologue(facts, &layouts[row]);
	binary.layout = (uint32_t)row;
	/* A static program does not say: the one that is not its own leads to no thread state of that thread. */
	binary.tls_specific = facts->libc == ELF_LIBC_MUSL ? 0 : GLIBC_SPECIFIC;
	binary.tls_values = facts->libc == ELF_LIBC_GNU ? 0 : MUSL_VALUES;
	binary.frame_pointers = facts->eval_frame_pointers;
	*ret = binary;
	return 0;
}
