/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <errno.h>
#include <stdio.h>

#include "base/hmap.h"
#include "base/strings.h"

static void strings_have_one_id(void **state)
{
	struct strings *s;
	uint32_t a, b, c;
	char text[32];

	(void)state;
	assert_int_equal(strings_new(1000, &s), 0);
	assert_int_equal(strings_intern(s, "", &a), 0);
	assert_int_equal(a, 0);
	assert_int_equal(strings_intern(s, NULL, &a), 0);
	assert_int_equal(a, 0);
	for (int round = 0; round < 2; round++)
		for (uint32_t i = 1; i <= 1000; i++) {
			snprintf(text, sizeof(text), "s%u", i);
			assert_int_equal(strings_intern(s, text, &b), 0);
			assert_int_equal(b, i);
			assert_string_equal(strings_get(s, b), text);
		}
	assert_int_equal(strings_intern(s, "one more", &c), -ENOSPC);
	assert_int_equal(strings_intern_n(s, "s12345", 3, &c), 0);
	assert_int_equal(c, 12);
	assert_string_equal(strings_get(s, 4711), "");
	strings_free(s);
}

static uint64_t mix(uint64_t h, const char *block)
{
	uint64_t v;

	memcpy(&v, block, 8);
	h = (h ^ v) * 0xff51afd7ed558ccdULL;
	return h ^ (h >> 32);
}

/* What hash_bytes has made of all blocks but the last; size is a multiple of 8. */
static uint64_t before_last(const char *text, size_t size)
{
	uint64_t h = 1 ^ 0x9e3779b97f4a7c15ULL ^ (size * 0xff51afd7ed558ccdULL);

	for (size_t i = 0; i + 8 < size; i += 8)
		h = mix(h, text + i);
	return h;
}

/*
 * The hash can be forged: whoever names functions chooses two texts of one hash. The shorter one
 * fills its allocation, so a comparison by the longer one's size would read behind it.
 */
static void a_forged_hash_reads_nothing_else(void **state)
{
	enum { SHORT = 1 << 17, LONG = SHORT + 16 };
	static char text[LONG + 1];
	struct strings *s;
	uint64_t want, last;
	uint32_t a, b;

	(void)state;
	memset(text, 'a', LONG);
	memcpy(&last, text, 8);
	want = before_last(text, SHORT) ^ last;
	do { /* the last block must hold no NUL: vary the one before it */
		text[SHORT]++;
		last = before_last(text, LONG) ^ want;
		memcpy(text + LONG - 8, &last, 8);
	} while (memchr(text, 0, LONG));
	assert_true(hash_bytes(text, LONG, 1) == hash_bytes(text, SHORT, 1));

	assert_int_equal(strings_new(0, &s), 0);
	assert_int_equal(strings_intern_n(s, text, SHORT, &a), 0);
	assert_int_equal(strings_intern_n(s, text, LONG, &b), 0);
	assert_int_not_equal(a, b);
	assert_int_equal(strlen(strings_get(s, a)), SHORT);
	assert_int_equal(strlen(strings_get(s, b)), LONG);
	strings_free(s);
}

static void a_text_ends_at_its_nul(void **state)
{
	struct strings *s;
	uint32_t a, b;

	(void)state;
	assert_int_equal(strings_new(0, &s), 0);
	assert_int_equal(strings_intern(s, "ab", &a), 0);
	assert_int_equal(strings_intern_n(s, "ab\0cd", 5, &b), 0);
	assert_int_equal(a, b);
	assert_int_equal(strings_intern_n(s, "\0cd", 3, &b), 0);
	assert_int_equal(b, 0);
	assert_int_equal(strings_intern_n(s, NULL, 3, &b), 0);
	assert_int_equal(b, 0);
	assert_int_equal(strings_count(s), 1);
	strings_free(s);
	strings_free(NULL);
}

static void bytes_are_bounded(void **state)
{
	struct strings *s;
	uint32_t a, b;

	(void)state;
	assert_int_equal(strings_new(0, &s), 0);
	strings_limit(s, 8);
	assert_int_equal(strings_intern(s, "four", &a), 0);
	assert_int_equal(strings_intern(s, "678", &b), -ENOSPC);
	assert_int_equal(strings_intern(s, "67", &b), 0);
	/* what is there already is found */
	assert_int_equal(strings_intern(s, "four", &b), 0);
	assert_int_equal(a, b);
	assert_int_equal(strings_intern(s, "x", &b), -ENOSPC);
	assert_int_equal(strings_count(s), 2);
	strings_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_have_one_id),
		cmocka_unit_test(a_text_ends_at_its_nul),
		cmocka_unit_test(bytes_are_bounded),
		cmocka_unit_test(a_forged_hash_reads_nothing_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
