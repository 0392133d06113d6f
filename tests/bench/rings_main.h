/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line of a micro-benchmark that runs once for each kind of ring.
 * Not what is measured.
 */
#ifndef PARIO_TESTS_BENCH_RINGS_MAIN_H
#define PARIO_TESTS_BENCH_RINGS_MAIN_H

/* "split", "split-indirect", "packed", "packed-indirect"; ring & 1: indirect, ring & 2: packed. */
extern const char *const ring_names[];

/* [RING [ROUNDS [BURST]]]: bench for each ring asked for. Exit status: 0, or 2 after the usage. */
int rings_main(int argc, char **argv, unsigned round_cnt,
	       void (*bench)(unsigned ring, unsigned round_cnt, unsigned burst));

#endif
