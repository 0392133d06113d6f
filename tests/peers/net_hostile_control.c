/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control queues of drivers that mean harm: commands that are too short, too long, unknown, out of
 * range, without room for an answer.
 * Not what honest drivers do with it (tests/vm/net_uml_test.py).
 */
#include <string.h>

#include "net_lab.h"

#define NO_ACK 0xee
#define COMMAND_BYTES 2048u

enum { CLASS_RX, CLASS_MAC, CLASS_VLAN, CLASS_ANNOUNCE, CLASS_MQ, CLASS_OFFLOADS, CLASS_STATS = 8 };

struct control {
	struct card *card;
	struct front_queue *queue;
	uint8_t *data; /* the command, and 64 bytes for an answer behind it */
	uint64_t gpa;
};

static void control_up(struct control *control, struct card *card)
{
	struct ring_opts ring = {.format = card->opts.format, .size = 64, .event_idx = true};

	control->card = card;
	control->data = shm_alloc(card->shm, COMMAND_BYTES + 64, 64, &control->gpa);
	if (!control->data)
		die("no shared memory");
	/* Without MQ: right behind the one pair. */
	if (front_queue_new(&control->queue, card->f, card->shm, 2, &ring) < 0 ||
	    front_queue_start(control->queue) < 0)
		die("control queue: %s", card->f->error);
}

static void control_down(struct control *control)
{
	if (front_queue_stop(control->queue, NULL) < 0)
		die("control queue: %s", control->card->f->error);
	front_queue_free(control->queue);
}

/* Waits for the chain; its answer, NO_ACK if none was written. */
static uint8_t exchange(struct control *control, const struct ring_seg *seg, unsigned out_cnt,
			unsigned in_cnt)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);
	struct ring_used used;
	int cnt;

	memset(control->data + COMMAND_BYTES, NO_ACK, 64);
	if (ring_add(control->queue->ring, seg, out_cnt, in_cnt, 0) < 0)
		die("ring_add");
	if (ring_publish(control->queue->ring))
		front_queue_kick(control->queue);
	while ((cnt = ring_get_used(control->queue->ring, &used, 1)) == 0)
		deadline_check(&deadline, "a command is answered");
	if (cnt < 0)
		die("control queue: %s", control->queue->ring->error);
	return control->data[COMMAND_BYTES];
}

/* A command of bytes that stand in control->data. */
static uint8_t command(struct control *control, uint32_t bytes)
{
	const struct ring_seg seg[] = {{control->gpa, bytes}, {control->gpa + COMMAND_BYTES, 1}};

	return exchange(control, seg, 1, 1);
}

static uint8_t short_command(struct control *control, uint8_t class, uint8_t number,
			     const void *data, uint32_t bytes)
{
	control->data[0] = class;
	control->data[1] = number;
	memcpy(control->data + 2, data, bytes);
	return command(control, 2 + bytes);
}

static void must_refuse(uint8_t ack, const char *what)
{
	if (ack != VIRTIO_NET_ERR)
		die("%s: answered with %u", what, ack);
}

static void works(struct control *control)
{
	if (short_command(control, CLASS_RX, 0, &(uint8_t){1}, 1) != VIRTIO_NET_OK)
		die("the control queue no longer works");
}

static void control_of_wrong_length(struct lab *lab)
{
	static const uint8_t zeroes[COMMAND_BYTES];
	struct control control;

	control_up(&control, &lab->a);
	works(&control);
	memset(control.data, 0, COMMAND_BYTES);
	must_refuse(command(&control, 1), "a command of one byte");
	for (uint8_t class = CLASS_RX; class <= CLASS_STATS; class ++) {
		for (uint32_t bytes = 0; bytes <= 20; bytes++) {
			/* Those that are right: a mode, a VLAN, a table of nothing. */
			if ((class == CLASS_RX && bytes == 1) ||
			    (class == CLASS_VLAN && bytes == 2) ||
			    (class == CLASS_MAC && bytes == 8) ||
			    (class == CLASS_OFFLOADS && bytes == 8) || class == CLASS_STATS)
				continue;
			must_refuse(short_command(&control, class, 0, zeroes, bytes),
				    "a command of the wrong length");
		}
	}
	must_refuse(short_command(&control, CLASS_MAC, 1, zeroes, 5), "an address of 5 bytes");
	must_refuse(short_command(&control, CLASS_MAC, 1, zeroes, 7), "an address of 7 bytes");
	works(&control);
	control_down(&control);
}

static void control_of_unknown_kind(struct lab *lab)
{
	struct control control;

	control_up(&control, &lab->a);
	for (unsigned class = 0; class < 256; class ++)
		must_refuse(short_command(&control, (uint8_t) class, 200, "\0\0", 2),
			    "an unknown command");
	for (unsigned number = 0; number < 256; number++)
		must_refuse(short_command(&control, 99, (uint8_t)number, "\0", 1),
			    "a command of an unknown class");
	works(&control);
	control_down(&control);
}

static void control_out_of_range(struct lab *lab)
{
	static const uint16_t vlans[] = {4096, 0x8000, 65535};
	static const uint32_t counts[] = {1, 0x2aaaaaab, 0x7fffffff, UINT32_MAX};
	static const uint8_t multicast[6] = {1, 0, 0x5e, 0, 0, 1};
	struct control control;

	control_up(&control, &lab->a);
	for (unsigned i = 0; i < 3; i++) {
		must_refuse(short_command(&control, CLASS_VLAN, 0, &vlans[i], 2), "a VLAN");
		must_refuse(short_command(&control, CLASS_VLAN, 1, &vlans[i], 2), "a VLAN");
	}
	for (unsigned i = 0; i < 4; i++) {
		uint8_t tables[8] = {0};

		memcpy(tables, &counts[i], 4);
		must_refuse(short_command(&control, CLASS_MAC, 0, tables, 8), "a first table");
		memset(tables, 0, 4);
		memcpy(tables + 4, &counts[i], 4);
		must_refuse(short_command(&control, CLASS_MAC, 0, tables, 8), "a second table");
	}
	must_refuse(short_command(&control, CLASS_MAC, 1, multicast, 6), "a multicast address");
	must_refuse(short_command(&control, CLASS_RX, 0, &(uint8_t){2}, 1), "a mode of 2");
	must_refuse(short_command(&control, CLASS_OFFLOADS, 0, &(uint64_t){UINT64_MAX}, 8),
		    "offloads that were not negotiated");
	must_refuse(short_command(&control, CLASS_MQ, 0, &(uint16_t){1}, 2), "MQ that was not");
	works(&control);
	control_down(&control);
}

/* Chains that are no commands: counted, and the queue goes on. */
static void control_chains_that_are_none(struct lab *lab)
{
	uint64_t before = lab_counter(lab, "control_malformed");
	struct control control;

	control_up(&control, &lab->a);
	memset(control.data, 0, COMMAND_BYTES);
	struct ring_seg only = {control.gpa, 3}, answer = {control.gpa + COMMAND_BYTES, 64};
	struct ring_seg nowhere[] = {{0x1000, 3}, answer};
	struct ring_seg long_one[33];

	exchange(&control, &only, 1, 0);
	exchange(&control, &answer, 0, 1);
	exchange(&control, nowhere, 1, 1);
	/* 64 KiB of a command. */
	for (unsigned i = 0; i < 32; i++)
		long_one[i] = (struct ring_seg){control.gpa, COMMAND_BYTES};
	long_one[32] = answer;
	exchange(&control, long_one, 32, 1);
	works(&control);
	control_down(&control);
	lab_counted(lab, "control_malformed", before, 4);
}

static void control_in_pieces(struct lab *lab)
{
	struct control control;
	struct ring_seg seg[4];

	control_up(&control, &lab->a);
	memset(control.data, 0, 16);
	control.data[2] = 1;
	for (unsigned i = 0; i < 3; i++)
		seg[i] = (struct ring_seg){control.gpa + i, 1};
	seg[3] = (struct ring_seg){control.gpa + COMMAND_BYTES, 1};
	if (exchange(&control, seg, 3, 1) != VIRTIO_NET_OK)
		die("a command in pieces of one byte was refused");
	control_down(&control);
}

#define CONTROL_FEATURES                                                                     \
	(CARD_FEATURES_PLAIN | CARD_F(VIRTIO_NET_F_CTRL_VQ) | CARD_F(VIRTIO_NET_F_CTRL_RX) | \
	 CARD_F(VIRTIO_NET_F_CTRL_VLAN) | CARD_F(VIRTIO_NET_F_CTRL_MAC_ADDR) |               \
	 CARD_F(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | CARD_F(VIRTIO_NET_F_GUEST_CSUM))
#define CASE(n)                                                                                  \
	{                                                                                        \
		.name = #n, .run = (n), .opts = {.rx_posted = 16, .features = CONTROL_FEATURES } \
	}

const struct hostile_case control_cases[] = {
	CASE(control_of_wrong_length), CASE(control_of_unknown_kind),
	CASE(control_out_of_range),    CASE(control_chains_that_are_none),
	CASE(control_in_pieces),
};
const unsigned control_case_cnt = sizeof(control_cases) / sizeof(control_cases[0]);
