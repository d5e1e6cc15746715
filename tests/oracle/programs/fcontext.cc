// SPDX-License-Identifier: Apache-2.0
// Spins in coroutines of boost's context library. usage: fcontext SECONDS
#include <boost/context/detail/fcontext.hpp>
#include <cstdlib>
#include <ctime>

namespace context = boost::context::detail;
static volatile unsigned long sink;

static double now()
{
	timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return double(t.tv_sec) + double(t.tv_nsec) / 1e9;
}

__attribute__((noinline)) static void spin()
{
	for (long i = 0; i < 3000000; i++)
		sink += i * 7;
}

__attribute__((noinline)) static void coroutine(context::transfer_t from)
{
	for (;;) {
		spin();
		from = context::jump_fcontext(from.fctx, nullptr);
	}
}

int main(int argc, char **argv)
{
	const std::size_t size = 65536;
	char *stack = static_cast<char *>(std::malloc(size));
	context::fcontext_t there = context::make_fcontext(stack + size, size, coroutine);
	double until = now() + std::atof(argc > 1 ? argv[1] : "1");

	while (now() < until)
		there = context::jump_fcontext(there, nullptr).fctx;
	return 0;
}
