/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "base/cleanup.h"

static int destroyed;

static void thing_free(int *thing)
{
	assert_non_null(thing);
	destroyed++;
}

DEFINE_CLEANUP(int *, thing_free);

static void a_scope_destroys_what_it_owns(void **state)
{
	int thing;

	(void)state;
	destroyed = 0;
	{
		_cleanup_(thing_freep) int *owned = &thing;
		_cleanup_(thing_freep) int *none = NULL;
		_cleanup_(thing_freep) int *taken = &thing;

		(void)owned;
		(void)none;
		assert_ptr_equal(TAKE_PTR(taken), &thing);
		assert_null(taken);
	}
	assert_int_equal(destroyed, 1);
}

static void a_scope_closes_its_descriptors(void **state)
{
	int closed, kept;

	(void)state;
	{
		_cleanup_close_ int a = memfd_create("a", MFD_CLOEXEC);
		_cleanup_close_ int b = memfd_create("b", MFD_CLOEXEC);
		_cleanup_close_ int never = -1;

		(void)never;
		closed = a;
		kept = TAKE_FD(b);
		assert_int_equal(b, -1);
	}
	assert_int_equal(fcntl(closed, F_GETFD), -1);
	assert_int_equal(errno, EBADF);
	assert_true(fcntl(kept, F_GETFD) >= 0);
	close(kept);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_scope_destroys_what_it_owns),
		cmocka_unit_test(a_scope_closes_its_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
