/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of options that the commands have in common, and how a wrong one is refused.
 * Which options there are is each command's own affair.
 */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "numbers.h"
#include "options.h"

#define SECONDS_MAX 1e7

int options_reject(const char *what, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "pario-bench: %s: ", what);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return BENCH_USAGE;
}

int options_take_count(const char *name, const char *text, uint64_t min, uint64_t max,
		       uint64_t *out)
{
	if (!number_parse_u64(text, out))
		return options_reject(name, "'%s' is not a number", text);
	if (*out < min || *out > max)
		return options_reject(name, "%s given, %llu to %llu allowed", text,
				      (unsigned long long)min, (unsigned long long)max);
	return BENCH_OK;
}

int options_take_uint(const char *name, const char *text, unsigned int min, unsigned int max,
		      unsigned int *out)
{
	uint64_t value = 0;
	int rc = options_take_count(name, text, min, max, &value);

	if (rc == BENCH_OK)
		*out = (unsigned int)value;
	return rc;
}

int options_take_seconds(const char *name, const char *text, double min, double *out)
{
	if (!number_parse_seconds(text, out))
		return options_reject(name, "'%s' is not a time such as 10, 10s, 500ms or 2m",
				      text);
	if (*out < min || *out > SECONDS_MAX)
		return options_reject(name, "%s given, %g s to %g s allowed", text, min,
				      SECONDS_MAX);
	return BENCH_OK;
}

int options_take_word(const char *name, const char *text, const char *const *word, unsigned int cnt,
		      unsigned int *out)
{
	char allowed[128];
	size_t len = 0;

	for (*out = 0; *out < cnt; (*out)++)
		if (strcmp(text, word[*out]) == 0)
			return BENCH_OK;
	for (unsigned int i = 0; i < cnt && len < sizeof(allowed); i++)
		len += (size_t)snprintf(allowed + len, sizeof(allowed) - len, "%s%s", i ? ", " : "",
					word[i]);
	return options_reject(name, "'%s' given, one of %s allowed", text, allowed);
}

int options_take_format(const char *name, const char *text, enum ring_format *out)
{
	static const char *const word[] = {"split", "packed"};
	unsigned int which = 0;
	int rc = options_take_word(name, text, word, 2, &which);

	*out = which == 1 ? RING_PACKED : RING_SPLIT;
	return rc;
}

int options_take_notify(const char *name, const char *text, bool *irq)
{
	static const char *const word[] = {"poll", "irq"};
	unsigned int which = 0;
	int rc = options_take_word(name, text, word, 2, &which);

	*irq = which == 1;
	return rc;
}

int options_take_cpus(int *cpu, unsigned int *cnt, const char *text)
{
	cpu_set_t allowed;

	if (!number_parse_cpus(text, cpu, BENCH_CPU_MAX, cnt))
		return options_reject("--cpus", "'%s' is not a list of CPUs such as 0 or 2-3,5",
				      text);
	sched_getaffinity(0, sizeof(allowed), &allowed);
	for (unsigned int i = 0; i < *cnt; i++)
		if (cpu[i] >= CPU_SETSIZE || !CPU_ISSET(cpu[i], &allowed))
			return options_reject("--cpus",
					      "CPU %d given, this process may use %d CPUs "
					      "and not that one",
					      cpu[i], CPU_COUNT(&allowed));
	return BENCH_OK;
}

void options_keep_cpus(const int *cpu, unsigned int cnt)
{
	cpu_set_t set;

	if (cnt == 0)
		return;
	CPU_ZERO(&set);
	for (unsigned int i = 0; i < cnt; i++)
		CPU_SET(cpu[i], &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

int options_check_ring_size(const char *name, enum ring_format format, unsigned int size)
{
	if (format != RING_SPLIT || !(size & (size - 1)))
		return BENCH_OK;
	return options_reject(
		name, "%u given, a split ring's size is a power of two (256, 512, ...)", size);
}

int options_reject_word(const char *command, int opt, const char *word)
{
	return options_reject(word, "%s (see pario-bench %s --help)",
			      opt == ':' ? "needs a value" : "no such option, or it takes no value",
			      command);
}
