/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing of numbers for the options of pario-bench.
 */
#include "numbers.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* strtoull() would take blanks and signs. */
static bool digits_take(const char **text, uint64_t *value)
{
	char *end;

	if (!isdigit((unsigned char)**text))
		return false;
	errno = 0;
	*value = strtoull(*text, &end, 10);
	*text = end;
	return errno == 0;
}

bool number_parse_u64(const char *text, uint64_t *value)
{
	return digits_take(&text, value) && *text == '\0';
}

static bool size_take(const char **text, uint64_t *bytes)
{
	static const char suffix[] = "kmgt";
	const char *s;
	unsigned int shift = 0;

	if (!digits_take(text, bytes))
		return false;
	s = **text ? strchr(suffix, tolower((unsigned char)**text)) : NULL;
	if (s) {
		shift = 10u * (unsigned int)(s - suffix + 1);
		(*text)++;
		if (strncasecmp(*text, "ib", 2) == 0)
			(*text)++;
	}
	if (**text == 'B' || **text == 'b')
		(*text)++;
	if (*bytes > UINT64_MAX >> shift)
		return false;
	*bytes <<= shift;
	return true;
}

bool number_parse_size(const char *text, uint64_t *bytes)
{
	return size_take(&text, bytes) && *text == '\0';
}

bool number_parse_size_range(const char *text, uint64_t *min_bytes, uint64_t *max_bytes)
{
	if (!size_take(&text, min_bytes))
		return false;
	if (*text == '\0') {
		*max_bytes = *min_bytes;
		return true;
	}
	if (*text++ != '-')
		return false;
	return size_take(&text, max_bytes) && *text == '\0' && *min_bytes <= *max_bytes;
}

bool number_parse_seconds(const char *text, double *seconds)
{
	char *end;

	if (!isdigit((unsigned char)*text) && *text != '.')
		return false;
	*seconds = strtod(text, &end);
	if (end == text || !isfinite(*seconds))
		return false;
	if (strcmp(end, "ms") == 0)
		*seconds /= 1000;
	else if (strcmp(end, "m") == 0)
		*seconds *= 60;
	else if (strcmp(end, "s") != 0 && *end != '\0')
		return false;
	return true;
}

bool number_parse_cpus(const char *text, int *cpu, unsigned int max, unsigned int *cnt)
{
	*cnt = 0;
	do {
		uint64_t first, last;

		if (!digits_take(&text, &first))
			return false;
		last = first;
		if (*text == '-') {
			text++;
			if (!digits_take(&text, &last) || last < first)
				return false;
		}
		for (; first <= last; first++) {
			if (*cnt == max || first > INT32_MAX)
				return false;
			cpu[(*cnt)++] = (int)first;
		}
	} while (*text++ == ',');
	return text[-1] == '\0';
}
