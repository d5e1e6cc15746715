/* SPDX-License-Identifier: Apache-2.0 */
/* The same in C++: every function has something to destroy and something to catch. */
struct turn;
static volatile long destroyed;

struct guarded {
	long by;
	~guarded()
	{
		destroyed = destroyed + by;
	}
};

#define STEP(k)                                                                          \
	__attribute__((noinline, noclone, noipa)) static void step_##k(turn *t, int level) \
	{                                                                                \
		guarded g{ k };                                                          \
                                                                                         \
		try {                                                                    \
			next(t, level + 1);                                              \
		} catch (int caught) {                                                   \
			destroyed = destroyed + caught;                                  \
		}                                                                        \
	}
#include "shape.h"
