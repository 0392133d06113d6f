/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Micro-benchmark: which queue a frame belongs to, from its first bytes, by the ways there are.
 * Not the network's path, which asks this once for each frame (bench_switch.c).
 *
 * Frames of 32 flows take turns; dissection is not counted, since it is done anyway. `learn` asks
 * the flow table too, as a receiver of these flows does.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "flow/flow_table.h"
#include "flow/steering.h"
#include "frames.h"

#define FLOWS 32u

struct kind {
	const char *name;
	const char *layers, *carried; /* NULL: no VXLAN */
	enum steering_kind steering;
};

static const struct kind kinds[] = {
	{"spread", "ip4 tcp", NULL, STEERING_SPREAD},
	{"learn", "ip4 tcp", NULL, STEERING_LEARN},
	{"table", "ip4 tcp", NULL, STEERING_TABLE},
	{"table-ipv6", "ip6 tcp", NULL, STEERING_TABLE},
	{"table-vxlan", "ip4 udp", "ip4 tcp", STEERING_TABLE},
};

struct bench {
	struct steering *steering;
	struct flow_table *flows; /* NULL: not asked */
	struct frames_head frames[FLOWS];
	struct dissection dissections[FLOWS];
};

/* By this name callgrind is told what to count. */
unsigned bench_steering_choose(const struct bench *bench, unsigned burst);

NOINLINE unsigned bench_steering_choose(const struct bench *bench, unsigned burst)
{
	unsigned sum = 0;

	for (unsigned i = 0; i < burst; i++) {
		const struct frames_head *frame = &bench->frames[i % FLOWS];
		struct steering_choice choice;

		steering_choose(bench->steering, frame->bytes, frame->len,
				&bench->dissections[i % FLOWS], &choice);
		sum += bench->flows ? (unsigned)flow_table_find(bench->flows, choice.spread, 1)
				    : choice.queue + steering_spread(choice.spread, 15);
	}
	return sum;
}

static void bench_frame(struct frames_head *frame, const struct kind *kind, unsigned flow)
{
	struct frames_head carried = {.len = 0};

	if (kind->carried) {
		frames_build(&carried, kind->carried, 0);
		frames_put16(carried.bytes + carried.l4, flow);
	}
	frames_build(frame, kind->layers, kind->carried ? 8 + carried.len : 0);
	frames_put16(frame->bytes + frame->l4, flow);
	if (!kind->carried)
		return;
	frames_put16(frame->bytes + frame->l4 + 2, 4789);
	frame->bytes[frame->len] = 0x08;
	memcpy(frame->bytes + frame->len + 8, carried.bytes, carried.len);
	frame->len += 8 + carried.len;
}

static void bench_init(struct bench *bench, const struct kind *kind)
{
	struct steering_options options = {
		.kind = kind->steering,
		.inner = kind->carried != NULL,
		.types = kind->steering == STEERING_TABLE ? HASH_TYPES_ALL : 0,
		.key_bytes = TOEPLITZ_KEY_BYTES,
		.table_cnt = 128,
	};

	memcpy(options.key, toeplitz_key_default, sizeof(options.key));
	for (unsigned i = 0; i < options.table_cnt; i++)
		options.table[i] = (uint16_t)(i % 4);
	CHECK(steering_new(&options, 4, &bench->steering, NULL) == 0);
	bench->flows = NULL;
	if (kind->steering == STEERING_LEARN) {
		bench->flows = flow_table_new(4096, 1u << 30);
		CHECK(bench->flows);
	}
	for (unsigned i = 0; i < FLOWS; i++) {
		struct frames_head *frame = &bench->frames[i];
		struct steering_choice choice;

		bench_frame(frame, kind, 5000 + i);
		dissect(frame->bytes, frame->len, &bench->dissections[i]);
		steering_choose(bench->steering, frame->bytes, frame->len, &bench->dissections[i],
				&choice);
		if (bench->flows)
			flow_table_learn(bench->flows, choice.spread, i % 4, 1);
	}
}

static void bench_run(const struct kind *kind, unsigned round_cnt, unsigned burst)
{
	static struct bench bench;
	volatile unsigned sink = 0;
	uint64_t begin_ns;

	bench_init(&bench, kind);
	begin_ns = clock_now_ns();
	for (unsigned round = 0; round < round_cnt; round++)
		sink += bench_steering_choose(&bench, burst);
	printf("%-11s burst %2u: %6.1f ns a frame, %u requests\n", kind->name, burst,
	       (double)(clock_now_ns() - begin_ns) / round_cnt / burst, round_cnt * burst);
	steering_free(bench.steering);
	flow_table_free(bench.flows);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "all";
	const unsigned rounds = argc > 2 ? (unsigned)atoi(argv[2]) : 1000000;
	const unsigned burst = argc > 3 ? (unsigned)atoi(argv[3]) : FLOWS;
	bool found = false;

	for (size_t i = 0; i < ARRAY_LEN(kinds) && rounds && burst; i++) {
		if (strcmp(name, "all") != 0 && strcmp(name, kinds[i].name) != 0)
			continue;
		bench_run(&kinds[i], rounds, burst);
		found = true;
	}
	if (found)
		return 0;
	fprintf(stderr,
		"usage: %s [spread|learn|table|table-ipv6|table-vxlan|all [ROUNDS [BURST]]]\n",
		argv[0]);
	return 2;
}
