/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads, checks and runs filter programs; libpcap has the checker and the machine.
 * Not the compiler.
 */
#include "network/capture_filter.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

struct capture_filter {
	unsigned step_cnt;
	struct bpf_insn steps[];
};

/* The next number, at most max. False: there is none. */
static bool take_number(const char **text, uint64_t max, uint64_t *number)
{
	const char *at = *text;

	while (*at == ' ' || *at == ',' || *at == '\n' || *at == '\t' || *at == '\r')
		at++;
	if (*at < '0' || *at > '9')
		return false;
	*number = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		*number = *number * 10 + (uint64_t)(*at - '0');
		if (*number > max)
			return false;
	}
	*text = at;
	return true;
}

static bool take_step(const char **text, struct bpf_insn *step)
{
	uint64_t code, jt, jf, k;

	if (!take_number(text, UINT16_MAX, &code) || !take_number(text, UINT8_MAX, &jt) ||
	    !take_number(text, UINT8_MAX, &jf) || !take_number(text, UINT32_MAX, &k))
		return false;
	*step = (struct bpf_insn){
		.code = (uint16_t)code, .jt = (uint8_t)jt, .jf = (uint8_t)jf, .k = (uint32_t)k};
	return true;
}

static bool take_steps(const char **text, struct capture_filter *filter)
{
	uint64_t rest;

	for (unsigned i = 0; i < filter->step_cnt; i++) {
		if (!take_step(text, &filter->steps[i]))
			return false;
	}
	return !take_number(text, UINT32_MAX, &rest) && (*text)[strspn(*text, " ,\n\t\r")] == '\0';
}

/* libpcap lets a program jump back (its own of `protochain` do), and then it may never end. */
static bool only_jumps_on(const struct capture_filter *filter)
{
	for (unsigned i = 0; i < filter->step_cnt; i++) {
		if (filter->steps[i].code == (BPF_JMP | BPF_JA) &&
		    filter->steps[i].k >= filter->step_cnt)
			return false;
	}
	return true;
}

int capture_filter_parse(const char *text, struct capture_filter **out, struct err *err)
{
	struct capture_filter *filter;
	uint64_t cnt;

	*out = NULL;
	if (!take_number(&text, CAPTURE_FILTER_STEPS_MAX, &cnt) || cnt == 0)
		return err_set(err, EINVAL,
			       "filter: it does not begin with a number of steps from 1 to %u (it "
			       "is a program as tcpdump -ddd prints it)",
			       CAPTURE_FILTER_STEPS_MAX);
	filter = calloc(1, sizeof(*filter) + cnt * sizeof(filter->steps[0]));
	if (!filter)
		return err_set(err, ENOMEM, "filter: no memory");
	filter->step_cnt = (unsigned)cnt;
	if (!take_steps(&text, filter)) {
		free(filter);
		return err_set(err, EINVAL,
			       "filter: not %u steps of four numbers each (code, two jumps, "
			       "operand, as tcpdump -ddd prints them)",
			       (unsigned)cnt);
	}
	if (!only_jumps_on(filter) || !bpf_validate(filter->steps, (int)cnt)) {
		free(filter);
		return err_set(
			err, EINVAL,
			"filter: the program is not safe: it has an unknown step, a jump out "
			"of itself, or no end");
	}
	*out = filter;
	return 0;
}

void capture_filter_free(struct capture_filter *filter)
{
	free(filter);
}

bool capture_filter_match(const struct capture_filter *filter, const uint8_t *data, uint32_t bytes,
			  uint32_t frame_bytes)
{
	return bpf_filter(filter->steps, data, frame_bytes, bytes) != 0;
}
