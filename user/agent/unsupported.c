/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/unsupported.h"

#include <assert.h>

#include "base/array.h"
#include "base/log.h"

static const char *const reasons[] = {
	[PYTHON_SUPPORTED] = "its table of symbols is not whole", /* 3.6, stripped */
	[PYTHON_VERSION_UNKNOWN] = "layout not known",
	[PYTHON_FREE_THREADED] = "built without the GIL (free-threaded)",
	[PYTHON_LIBC_UNKNOWN] = "its C library is neither glibc nor musl",
	[PYTHON_LAYOUT_CHANGED] = "layout not that of its version",
};
static_assert(ARRAY_SIZE(reasons) == PYTHON_SUPPORT_MAX, "a text for each");

static uint32_t minor_of(uint32_t version)
{
	return version >> 16 & 0xff;
}

bool unsupported_is_new(struct unsupported *u, uint32_t version, enum python_support why)
{
	uint64_t bit = 1ULL << (minor_of(version) & 63);

	if ((!version && !why) || u->told[why] & bit)
		return false;
	u->told[why] |= bit;
	return true;
}

void unsupported_tell(uint32_t version, enum python_support why)
{
	if (version)
		log_warning("CPython %u.%u: %s, its frames stay native", version >> 24,
			    minor_of(version), reasons[why]);
	else
		log_warning("CPython of a version that cannot be told: its frames stay native");
}
