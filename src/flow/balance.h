/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bucket of an indirection table should be on which queue, given what each carries.
 * Not the moving (network/netport.h).
 *
 * Pure. The best assignment is not looked for (that is NP-hard); the highest load of a queue ends
 * at most 15 % above it.
 */
#ifndef PARIO_FLOW_BALANCE_H
#define PARIO_FLOW_BALANCE_H

#include <stdint.h>

struct balance_move {
	uint16_t bucket;
	uint16_t from, to; /* queues */
};

/*
 * load[bucket_cnt], table[bucket_cnt] with entries below queue_cnt. Writes the moves, moves_max at
 * most, in the order in which they pay, and returns how many: 0 where the table is good enough (the
 * highest load would fall by less than a tenth) or nothing is carried. table is not changed.
 */
unsigned balance_plan(const uint64_t *load, const uint16_t *table, unsigned bucket_cnt,
		      unsigned queue_cnt, struct balance_move *moves, unsigned moves_max);

#endif
