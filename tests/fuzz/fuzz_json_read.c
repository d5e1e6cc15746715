/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the fields of an event. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct buf out = { 0 };
	const char *value;
	double number;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	value = json_member(text, "a");
	if (value && (value < text || value >= text + size))
		abort();
	json_get_number(value, &number);
	json_get_text(value, &out);
	value = json_element(value, 1);
	json_get_text(json_member(value, "b"), &out);
	buf_release(&out);
	free(text);
	return 0;
}
