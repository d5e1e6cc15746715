/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KYMO_PYTHON_LAYOUTS_H
#define KYMO_PYTHON_LAYOUTS_H

#include <stdbool.h>

#include "python/python.h"

/* The row (see python_layouts) for a PY_VERSION_HEX; -1 when there is none. */
int python_layout_find(uint32_t hexversion);

/* Whether the table of offsets that the interpreter has of itself, where it has one, says what the row says. */
bool python_offsets_agree(const struct elf_facts *facts, const struct kymo_python_layout *row);

#endif
