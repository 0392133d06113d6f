/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the hostile cases of the network share: an attacked port, two honest ones, a table of cases.
 * Not the cases: net_hostile_tx.c, net_hostile_offloads.c and net_hostile_rx.c.
 */
#ifndef PARIO_TESTS_NET_LAB_H
#define PARIO_TESTS_NET_LAB_H

#include "net_rig.h"

struct lab {
	struct daemon daemon;
	char api[128];
	struct card a;      /* the attacker's */
	struct card h1, h2; /* honest */
	uint32_t number;    /* of the last frame */
	uint8_t frame[70000];
	uint8_t got[70000];
};

struct hostile_case {
	const char *name;
	void (*run)(struct lab *lab);
	bool split_only; /* writes descriptors of a split ring by hand */
	struct card_opts opts;
};
extern const struct hostile_case tx_cases[], offload_cases[], rx_cases[];
extern const unsigned tx_case_cnt, offload_case_cnt, rx_case_cnt;

/* A good frame of bytes from one card to another arrives, and nothing before it. */
void lab_passes(struct lab *lab, struct card *from, struct card *to, uint32_t bytes,
		const char *what);
/* A frame of the attacker to h1 in the buffer of a new token, under a header of zeroes; its gpa. */
uint64_t lab_prepare(struct lab *lab, uint32_t bytes, uint16_t *token);
/* The last frame prepared arrives at h1. */
void lab_arrives(struct lab *lab, uint32_t bytes, const char *what);
/* What the attacker sent has come back, and nothing of it arrives before a good frame does. */
void lab_nothing_arrives(struct lab *lab, const char *what);
uint64_t lab_counter(struct lab *lab, const char *name);
/* The counter of the attacked port is want more than before. */
void lab_counted(struct lab *lab, const char *name, uint64_t before, uint64_t want);
/* The queue of the attacked port says that it is broken. */
void lab_wait_broken(struct front_queue *queue, const char *what);

#endif
