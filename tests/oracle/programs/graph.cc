// SPDX-License-Identifier: Apache-2.0
// A known call graph in C++: virtual calls, templates, lambdas, exceptions. usage: graph CPU_SECONDS SEED
#include <algorithm>
#include <functional>
#include <memory>
#include <stdexcept>

#include "graph.h"

NOINLINE void leaf_a(int64_t until)
{
	do
		for (int i = 0; i < 20000; i++)
			sink = sink + i * 7;
	while (cpu_ns() < until);
	sink = sink + 1;
}

struct base {
	virtual ~base() = default;
	virtual void visit(int64_t until) = 0;
};

struct derived : base {
	NOINLINE void visit(int64_t until) override
	{
		leaf_a(until);
		sink = sink + 1;
	}
};

NOINLINE void polymorphic(int64_t until)
{
	std::unique_ptr<base> b(new derived);

	b->visit(until);
	sink = sink + 1;
}

template <int N> struct tower {
	NOINLINE static void climb(int64_t until)
	{
		tower<N - 1>::climb(until);
		sink = sink + 1;
	}
};

template <> struct tower<0> {
	NOINLINE static void climb(int64_t until)
	{
		leaf_a(until);
		sink = sink + 1;
	}
};

NOINLINE void templated(int64_t until)
{
	tower<2>::climb(until);
	sink = sink + 1;
}

NOINLINE void thrower(int n)
{
	if (n)
		thrower(n - 1);
	else
		throw std::runtime_error("here");
	sink = sink + 1;
}

NOINLINE void caught(int64_t until)
{
	leaf_a(until);
	sink = sink + 1;
}

NOINLINE void throwing(int64_t until)
{
	try {
		thrower(5);
	} catch (const std::exception &) {
		caught(until); // between catch and its end
	}
	sink = sink + 1;
}

struct guard {
	int64_t until;
	NOINLINE ~guard()
	{
		leaf_a(until);
		sink = sink + 1;
	}
};

NOINLINE void guarded(int64_t until)
{
	guard g{ until };

	thrower(1);
}

// A destructor runs while the exception passes it, called by the unwinder's landing pad.
NOINLINE void unwinding(int64_t until)
{
	try {
		guarded(until);
	} catch (const std::exception &) {
		sink = sink + 1;
	}
}

static path paths[] = {
	{ "main;polymorphic;visit;leaf_a", polymorphic, 30, 0 },
	{ "main;templated;climb;climb;climb;leaf_a", templated, 30, 0 },
	{ "main;throwing;caught;leaf_a", throwing, 20, 0 },
	{ "main;unwinding;guarded;~guard;leaf_a", unwinding, 20, 0 },
};

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	paths_run(paths, sizeof(paths) / sizeof(*paths), atof(argv[1]), atoi(argv[2]));
	return 0;
}
