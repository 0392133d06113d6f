/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the kernel's CPU lists from a stream, so that no length of line matters. Not writing.
 */
#include "worker/cpulist.h"

/* Returns the character after the digits; *value stops at CPU_SETSIZE, -1 when there is none. */
static int read_number(FILE *file, int *value)
{
	int next = getc(file);

	while (next == ' ' || next == '\t')
		next = getc(file);
	*value = -1;
	for (; next >= '0' && next <= '9'; next = getc(file)) {
		if (*value < 0)
			*value = 0;
		if (*value < CPU_SETSIZE)
			*value = *value * 10 + (next - '0');
	}
	return next;
}

static int read_part(FILE *file, cpu_set_t *set)
{
	int first, last;
	int next = read_number(file, &first);

	last = first;
	if (next == '-')
		next = read_number(file, &last);
	if (first < 0 || last < first)
		return 'x';
	for (int cpu = first; cpu <= last && cpu < CPU_SETSIZE; cpu++)
		CPU_SET(cpu, set);
	return next;
}

bool cpulist_read(FILE *file, cpu_set_t *set)
{
	int next = ',';

	CPU_ZERO(set);
	for (int parts = 0; next == ',' && parts < CPU_SETSIZE; parts++)
		next = read_part(file, set);
	if (next == '\n' || next == EOF)
		return true;
	CPU_ZERO(set);
	return false;
}
