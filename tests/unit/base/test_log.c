/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"

/* Standard error goes into a file while the test speaks. */
struct capture {
	int file, was;
	struct buf text;
};

static int capture_start(void **state)
{
	static struct capture c;

	c.file = memfd_create("stderr", MFD_CLOEXEC);
	c.was = dup(STDERR_FILENO);
	*state = &c;
	return c.file < 0 || dup2(c.file, STDERR_FILENO) < 0;
}

static int capture_stop(void **state)
{
	struct capture *c = *state;

	log_set_level(LOG_LEVEL_INFO);
	dup2(c->was, STDERR_FILENO);
	close(c->was);
	close(c->file);
	buf_release(&c->text);
	return 0;
}

static const char *said(struct capture *c)
{
	assert_int_equal(file_reread(c->file, 65536, &c->text), 0);
	return (const char *)c->text.data;
}

static void one_line_and_no_control_character(void **state)
{
	log_error("%s: %d", "evil\x1b[2J\nkymo: forged", 7);
	assert_string_equal(said(*state), "kymo: evil\\x1b[2J\\x0akymo: forged: 7\n");
}

static void the_level_holds_back(void **state)
{
	log_debug("not by default");
	log_set_level(LOG_LEVEL_ERROR);
	log_warning("not now");
	log_error("this");
	assert_string_equal(said(*state), "kymo: this\n");
}

static void long_lines_are_whole(void **state)
{
	char text[10000];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	log_info("%s", text);
	assert_int_equal(strlen(said(*state)), strlen("kymo: ") + strlen(text) + 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_line_and_no_control_character, capture_start,
						capture_stop),
		cmocka_unit_test_setup_teardown(the_level_holds_back, capture_start, capture_stop),
		cmocka_unit_test_setup_teardown(long_lines_are_whole, capture_start, capture_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
