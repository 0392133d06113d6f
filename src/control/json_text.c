/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings of any bytes as JSON. Not the answer that they stand in (http_request.c, schema_get.c).
 */
#include "control/json_text.h"

#include <stdlib.h>
#include <string.h>

json_t *json_text(const char *text)
{
	json_t *json = json_string(text);
	char *copy;

	if (json)
		return json;
	copy = strdup(text);
	for (char *c = copy; c && *c; c++) {
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	}
	json = copy ? json_string(copy) : NULL;
	free(copy);
	return json;
}
