/* SPDX-License-Identifier: Apache-2.0 */
/* Inside user/unwind: the frame descriptions of a file, put in the order of their code. */
#ifndef KYMO_UNWIND_FDES_H
#define KYMO_UNWIND_FDES_H

#include <stddef.h>
#include <stdint.h>

/* A description that waits for its turn. Its code's offsets in the file, end exclusive. */
struct fde {
	uint32_t start, end;
	uint32_t code, code_size; /* its instructions, in the section */
	uint16_t cie;
	uint16_t segment;
};

struct fdes {
	struct fde *items;
	size_t n, cap;
};

void fdes_release(struct fdes *f);
/* 0 or -ENOMEM. */
int fdes_add(struct fdes *f, struct fde fde);
/*
 * Ascending, none over another: as the C library's unwinder searches them, the next start ends one
 * for good; of two with one start the first in the section stays. How many were cut or left out is
 * returned, or -ENOMEM.
 */
int fdes_order(struct fdes *f);

#endif
