/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an ELF file is: build-id, and whether it holds a CPython interpreter. Reads through
 * pread on a descriptor whose file its owner may change or truncate at any moment; every
 * size is bounded. Runs in the sandboxed worker.
 */
#ifndef KYMO_ELF_INSPECT_H
#define KYMO_ELF_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "elf/probes.h"
#include "kymo/python.h"
#include "model/frame.h"

#define ELF_PYTHON_OFFSETS_MAX 52

/* Which C library PT_INTERP or, without it, DT_NEEDED name. */
enum elf_libc {
	ELF_LIBC_UNTOLD, /* neither: a static program */
	ELF_LIBC_GNU,
	ELF_LIBC_MUSL,
	ELF_LIBC_OTHER,
	ELF_LIBC_MAX,
};

/* Fixed size, no pointers: it is also the message between the processes. */
struct elf_facts {
	struct build_id build_id;
	bool is_elf;
	bool has_python; /* _PyRuntime (or 3.6's _PyThreadState_Current) and _PyEval_EvalFrameDefault stand in it */
	uint32_t python_hexversion; /* PY_VERSION_HEX; 0 = could not be told from the file */
	bool python_free_threaded;  /* 3.13+: built without the lock */
	/* The words of the _Py_DebugOffsets with which _PyRuntime begins from 3.13 on; n = 0: none. Larger ones: UINT32_MAX. */
	uint32_t python_offsets_n;
	uint32_t python_offsets[ELF_PYTHON_OFFSETS_MAX];
	uint64_t runtime_vaddr, code_type_vaddr;
	uint64_t thread_state_current_vaddr, tls_key_vaddr, interp_head_vaddr; /* 3.6; 0 = none */
	uint64_t text_offset_bias; /* vaddr - file offset of the segment with the eval loop */
	struct kymo_file_range eval[KYMO_PYTHON_EVAL_RANGES]; /* file offsets; hot first */
	bool eval_frame_pointers;			      /* its prologue sets up rbp */
	uint32_t libc;					      /* enum elf_libc */
	uint32_t probes_n;
	struct elf_probe probes[KYMO_PROBES_MAX]; /* of an interpreter */
};

/* 0; -EBADMSG where it is no ELF file or a damaged one; -ENOTSUP for a 32-bit or big-endian one; -errno. */
int elf_inspect(int fd, struct elf_facts *ret);
int elf_inspect_memory(const void *data, size_t size, struct elf_facts *ret);

#endif
