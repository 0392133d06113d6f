/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading and writing CPU lists, and the affinity of threads. Not placement.
 */
#include "base/cpuset.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* A person's list goes into the error text; a very long one only by its beginning. */
#define CPUSET_SHOWN "%.100s"
#define CPUSET_HINT "give CPU numbers and ranges such as 0,2-3"

/* One part of a list, "5" or "2-3"; first and last are equal for a single CPU. */
struct cpuset_part {
	int len;
	const char *text; /* in the list, not terminated */
	int first;
	int last;
};

/*
 * Reads decimal digits. Stops growing at CPU_SETSIZE, which is out of range already, so that no
 * number of digits overflows. Returns what follows, or NULL when there is no digit.
 */
static const char *cpuset_read_number(const char *text, int *value)
{
	if (*text < '0' || *text > '9')
		return NULL;
	*value = 0;
	for (; *text >= '0' && *text <= '9'; text++) {
		if (*value < CPU_SETSIZE)
			*value = *value * 10 + (*text - '0');
	}
	return text;
}

static int cpuset_read_part(const char *list, struct cpuset_part *part, struct err *err)
{
	const char *rest;

	if (part->len == 0)
		return err_set(err, EINVAL,
			       "CPU list '" CPUSET_SHOWN "' has an empty part; " CPUSET_HINT, list);
	rest = cpuset_read_number(part->text, &part->first);
	part->last = part->first;
	if (rest && *rest == '-')
		rest = cpuset_read_number(rest + 1, &part->last);
	if (rest != part->text + part->len)
		return err_set(err, EINVAL,
			       "CPU list '" CPUSET_SHOWN "': '%.*s' is neither a CPU "
			       "number nor a range; " CPUSET_HINT,
			       list, part->len, part->text);
	if (part->first >= CPU_SETSIZE || part->last >= CPU_SETSIZE)
		return err_set(err, EINVAL,
			       "CPU list '" CPUSET_SHOWN "': '%.*s' is out of range; "
			       "CPU numbers are 0 to %d",
			       list, part->len, part->text, CPU_SETSIZE - 1);
	if (part->first > part->last)
		return err_set(err, EINVAL,
			       "CPU list '" CPUSET_SHOWN "': range '%.*s' is "
			       "reversed; write %d-%d",
			       list, part->len, part->text, part->last, part->first);
	return 0;
}

int cpuset_parse(const char *text, cpu_set_t *set, struct err *err)
{
	const char *at = text;
	struct cpuset_part part;
	int rc;

	CPU_ZERO(set);
	if (*text == '\0')
		return err_set(err, EINVAL, "CPU list is empty; " CPUSET_HINT);
	for (;;) {
		part = (struct cpuset_part){.text = at, .len = (int)strcspn(at, ",")};
		/* A part that long is no number; the text shows where it begins. */
		if (part.len > 40)
			return err_set(err, EINVAL,
				       "CPU list '" CPUSET_SHOWN "': '%.40s...' is "
				       "neither a CPU number nor a range; " CPUSET_HINT,
				       text, at);
		rc = cpuset_read_part(text, &part, err);
		if (rc < 0)
			return rc;
		for (int cpu = part.first; cpu <= part.last; cpu++) {
			if (CPU_ISSET(cpu, set))
				return err_set(err, EINVAL,
					       "CPU list '" CPUSET_SHOWN "': CPU %d "
					       "appears twice; name each CPU once",
					       text, cpu);
			CPU_SET(cpu, set);
		}
		at += part.len;
		if (*at == '\0')
			return 0;
		at++;
	}
}

void cpuset_format(const cpu_set_t *set, char *buf, size_t size)
{
	size_t used = 0;
	int last;
	int len;

	if (size == 0)
		return;
	buf[0] = '\0';
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu = last + 1) {
		last = cpu;
		if (!CPU_ISSET(cpu, set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		len = snprintf(buf + used, size - used, last > cpu ? "%s%d-%d" : "%s%d",
			       used ? "," : "", cpu, last);
		if (len < 0 || (size_t)len >= size - used)
			return;
		used += (size_t)len;
	}
}

int cpuset_allowed(cpu_set_t *set)
{
	CPU_ZERO(set);
	if (sched_getaffinity(0, sizeof(*set), set) < 0)
		return -errno;
	return 0;
}

int cpuset_pin_self(int cpu)
{
	cpu_set_t set;

	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return -EINVAL;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		return -errno;
	return 0;
}
