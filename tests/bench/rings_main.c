/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rings, how many rounds, how large a burst. Not what is measured.
 */
#include "rings_main.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtqueue/virtqueue.h"

#define RING_CNT 4

const char *const ring_names[RING_CNT] = {"split", "split-indirect", "packed", "packed-indirect"};

/* 0 when it is no number of 1..max. */
static unsigned parse_number(const char *text, unsigned max)
{
	char *end;
	const unsigned long v = strtoul(text, &end, 10);

	return *end == '\0' && v >= 1 && v <= max ? (unsigned)v : 0;
}

int rings_main(int argc, char **argv, unsigned round_cnt,
	       void (*bench)(unsigned ring, unsigned round_cnt, unsigned burst))
{
	const char *ring = argc > 1 ? argv[1] : "all";
	const unsigned burst = argc > 3 ? parse_number(argv[3], VIRTQUEUE_BURST) : VIRTQUEUE_BURST;
	bool found = false;

	if (argc > 2)
		round_cnt = parse_number(argv[2], 100000000);
	for (unsigned i = 0; i < RING_CNT && round_cnt && burst; i++) {
		if (strcmp(ring, "all") != 0 && strcmp(ring, ring_names[i]) != 0)
			continue;
		bench(i, round_cnt, burst);
		found = true;
	}
	if (found)
		return 0;
	fprintf(stderr,
		"usage: %s [split|split-indirect|packed|packed-indirect|all [ROUNDS [BURST, at "
		"most %u]]]\n",
		argv[0], VIRTQUEUE_BURST);
	return 2;
}
