/* SPDX-License-Identifier: Apache-2.0 */
#include "model/frame.h"

const char *const frame_kind_names[FRAME_KIND_MAX] = {
	[0] = "",
	[FRAME_KERNEL] = "kernel",
	[FRAME_NATIVE] = "native",
	[FRAME_PYTHON] = "python",
	[FRAME_SYNTHETIC] = "synthetic",
};
