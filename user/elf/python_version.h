/* SPDX-License-Identifier: Apache-2.0 */
/* PY_VERSION_HEX of a CPython up to 3.10, which does not export it. */
#ifndef KYMO_ELF_PYTHON_VERSION_H
#define KYMO_ELF_PYTHON_VERSION_H

#include <stdint.h>

struct elf_file;

/* 0 = could not be told. */
uint32_t python_version_search(const struct elf_file *f);

#endif
