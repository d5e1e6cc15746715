/* SPDX-License-Identifier: Apache-2.0 */
#ifndef KYMO_PYTHON_LAYOUTS_H
#define KYMO_PYTHON_LAYOUTS_H

#include "python/python.h"

/* The row (see python_layouts) for a PY_VERSION_HEX; -1 when there is none. */
int python_layout_find(uint32_t hexversion);

#endif
