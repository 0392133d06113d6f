/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VLANs: each kind of port against each, with each kind of tag; how frames leave.
 * Not addresses.
 */
#include "rig.h"

#include <errno.h>
#include <string.h>

#include "worker/join.h"

enum { ACCESS10, ACCESS20, TRUNK10, TRUNK0, ANY, PORT_CNT };

#define VLAN_BIT(vlan) [(vlan) / 64] = 1ull << ((vlan) % 64)

static const struct netport_vlans vlans[PORT_CNT] = {
	[ACCESS10] = {.mode = NETPORT_VLAN_ACCESS, .access = 10},
	[ACCESS20] = {.mode = NETPORT_VLAN_ACCESS, .access = 20},
	[TRUNK10] = {.mode = NETPORT_VLAN_TRUNK, .trunk = {VLAN_BIT(10), VLAN_BIT(4094)}},
	[TRUNK0] = {.mode = NETPORT_VLAN_TRUNK, .trunk = {1ull << 0 | 1ull << 20}},
	[ANY] = {.mode = NETPORT_VLAN_ANY},
};

/* The tag that a port sees: its TCI, or one of these. */
#define NONE RIG_NO_TAG
#define NOT (-2) /* no frame at all */
#define PCP (5 << 13)

/* clang-format off */
static const struct row {
	unsigned from;
	int tci;
	bool drop; /* drop_vlan */
	int seen[PORT_CNT];
} rows[] = {
	/*                            ACCESS10 ACCESS20 TRUNK10    TRUNK0    ANY */
	{ACCESS10, NONE, false,       {NOT,    NOT,     10,        NOT,      10}},
	{ACCESS10, 0, false,          {NOT,    NOT,     10,        NOT,      10}},
	{ACCESS10, PCP, false,        {NOT,    NOT,     PCP | 10,  NOT,      PCP | 10}},
	{ACCESS10, 10, true,          {NOT,    NOT,     NOT,       NOT,      NOT}},
	{ACCESS10, 20, true,          {NOT,    NOT,     NOT,       NOT,      NOT}},
	{ACCESS20, NONE, false,       {NOT,    NOT,     NOT,       20,       20}},
	{TRUNK10, NONE, true,         {NOT,    NOT,     NOT,       NOT,      NOT}},
	{TRUNK10, 0, true,            {NOT,    NOT,     NOT,       NOT,      NOT}},
	{TRUNK10, 10, false,          {NONE,   NOT,     NOT,       NOT,      10}},
	{TRUNK10, PCP | 10, false,    {NONE,   NOT,     NOT,       NOT,      PCP | 10}},
	{TRUNK10, 20, true,           {NOT,    NOT,     NOT,       NOT,      NOT}},
	{TRUNK10, 4094, false,        {NOT,    NOT,     NOT,       NOT,      4094}},
	{TRUNK10, 4095, true,         {NOT,    NOT,     NOT,       NOT,      NOT}},
	{TRUNK0, NONE, false,         {NOT,    NOT,     NOT,       NOT,      NONE}},
	{TRUNK0, 0, false,            {NOT,    NOT,     NOT,       NOT,      0}},
	{TRUNK0, PCP, false,          {NOT,    NOT,     NOT,       NOT,      PCP}},
	{TRUNK0, 20, false,           {NOT,    NONE,    NOT,       NOT,      20}},
	{ANY, NONE, false,            {NOT,    NOT,     NOT,       NONE,     NOT}},
	{ANY, 0, false,               {NOT,    NOT,     NOT,       0,        NOT}},
	{ANY, 10, false,              {NONE,   NOT,     10,        NOT,      NOT}},
	{ANY, PCP | 20, false,        {NOT,    NONE,    NOT,       PCP | 20, NOT}},
	{ANY, 4094, false,            {NOT,    NOT,     4094,      NOT,      NOT}},
	{ANY, 4095, true,             {NOT,    NOT,     NOT,       NOT,      NOT}},
};
/* clang-format on */

static struct rig *rig;
static struct rig_port ports[PORT_CNT];
static struct rig_sender sender;

static void begin(void)
{
	rig = rig_new(1, NULL, POLL_MODE_ADAPTIVE);
	for (unsigned i = 0; i < PORT_CNT; i++)
		rig_port_open(rig, &ports[i], &(struct netport_options){.vlans = vlans[i]}, 0);
	rig_sender_init(&sender, rig, 0);
}

static void end(void)
{
	rig_sender_fini(&sender);
	for (unsigned i = 0; i < PORT_CNT; i++)
		rig_port_close(&ports[i]);
	rig_free(rig);
}

static void expect_seen(const struct row *row, const struct rig_head *sent)
{
	for (unsigned i = 0; i < PORT_CNT; i++) {
		struct rig_queue *queue = &ports[i].queues[0];
		uint8_t expected[FRAME_HEAD_BYTES];
		struct rig_head head = *sent;
		unsigned bytes;

		if (queue->frame_cnt != (row->seen[i] != NOT))
			fail_msg("row %zu: port %u has %u frames", row - rows, i, queue->frame_cnt);
		if (queue->frame_cnt == 0)
			continue;
		head.tci = row->seen[i];
		bytes = rig_fill_head(expected, &head);
		if (bytes != queue->head_bytes || memcmp(expected, queue->head, bytes) != 0)
			fail_msg("row %zu: port %u sees another head", row - rows, i);
		queue->frame_cnt = 0;
	}
}

static void test_matrix(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];
		const struct rig_head head = {.to = RIG_BROADCAST,
					      .from = rig_mac(1 + row->from),
					      .tci = row->tci,
					      .payload = (uint16_t)(0x1000 + i)};

		begin();
		rig_send(&sender, &ports[row->from], &head, 1);
		expect_seen(row, &head);
		assert_int_equal(rig_stats(&ports[row->from]).drop_vlan, row->drop);
		end();
	}
}

static void forget_counts(void)
{
	for (unsigned i = 0; i < PORT_CNT; i++)
		ports[i].queues[0].frame_cnt = 0;
}

/* The same with a known receiver, in bursts: all but the first frame go the way of that. */
static void expect_burst(const struct row *row, unsigned to)
{
	struct rig_head heads[5];
	uint8_t expected[FRAME_HEAD_BYTES];
	struct rig_queue *queue = &ports[to].queues[0];
	unsigned bytes;

	for (unsigned i = 0; i < ARRAY_LEN(heads); i++)
		heads[i] = (struct rig_head){
			.to = rig_mac(1 + to), .from = rig_mac(1 + row->from), .tci = row->tci};
	for (unsigned times = 0; times < 2; times++) {
		forget_counts();
		rig_send(&sender, &ports[row->from], heads, ARRAY_LEN(heads));
		for (unsigned i = 0; i < PORT_CNT; i++)
			assert_int_equal(rig_port_frames(&ports[i]),
					 i == to ? ARRAY_LEN(heads) : 0);
		heads[0].tci = row->seen[to];
		bytes = rig_fill_head(expected, &heads[0]);
		assert_int_equal(queue->head_bytes, bytes);
		assert_memory_equal(queue->head, expected, bytes);
		heads[0].tci = row->tci;
	}
}

static void test_matrix_of_bursts(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *row = &rows[i];

		begin();
		for (unsigned to = 0; to < PORT_CNT; to++) {
			const struct rig_head hello = {
				.to = RIG_BROADCAST, .from = rig_mac(1 + to), .tci = row->seen[to]};

			if (row->seen[to] == NOT)
				continue;
			rig_send(&sender, &ports[to], &hello, 1);
			expect_burst(row, to);
		}
		end();
	}
}

/* The same address in two VLANs is two addresses. */
static void test_learns_in_its_vlan(void **state)
{
	const struct rig_head to_1_in_10 = {.to = rig_mac(1), .from = rig_mac(9), .tci = 10};
	const struct rig_head to_1_in_20 = {.to = rig_mac(1), .from = rig_mac(9), .tci = 20};
	const struct rig_head from_1 = {.to = RIG_BROADCAST, .from = rig_mac(1), .tci = NONE};

	(void)state;
	begin();
	rig_send(&sender, &ports[ACCESS10], &from_1, 1);
	rig_send(&sender, &ports[ACCESS20], &from_1, 1);
	forget_counts();
	rig_send(&sender, &ports[ANY], &to_1_in_10, 1);
	assert_int_equal(rig_port_frames(&ports[ACCESS10]), 1);
	assert_int_equal(rig_port_frames(&ports[ACCESS20]), 0);
	assert_int_equal(rig_port_frames(&ports[TRUNK10]), 0);
	rig_send(&sender, &ports[ANY], &to_1_in_20, 1);
	assert_int_equal(rig_port_frames(&ports[ACCESS10]), 1);
	assert_int_equal(rig_port_frames(&ports[ACCESS20]), 1);
	assert_int_equal(rig_stats(&ports[ANY]).flooded, 0);
	/* Side by side in a burst, with ways known for both. */
	forget_counts();
	rig_send(&sender, &ports[ANY], (struct rig_head[]){to_1_in_10, to_1_in_20, to_1_in_20}, 3);
	assert_int_equal(rig_port_frames(&ports[ACCESS10]), 1);
	assert_int_equal(rig_port_frames(&ports[ACCESS20]), 2);
	end();
}

static unsigned finished;

static void join_finished(struct join *join)
{
	assert_int_equal(join->status, 0);
	finished++;
}

/* What was learnt under the old VLANs is gone with them, on all ways into a cache. */
static void test_changes(void **state)
{
	const struct rig_head to_1 = {.to = rig_mac(1), .from = rig_mac(2), .tci = 10};
	const struct rig_head from_1 = {.to = rig_mac(2), .from = rig_mac(1), .tci = NONE};
	struct join join;

	(void)state;
	begin();
	rig_send(&sender, &ports[ACCESS10], &from_1, 1);
	rig_send(&sender, &ports[TRUNK10], &to_1, 1);
	rig_send(&sender, &ports[ACCESS10], &from_1, 1);
	rig_send(&sender, &ports[TRUNK10], &to_1, 1);
	assert_int_equal(rig_port_frames(&ports[ACCESS10]), 2);
	assert_int_equal(rig_port_frames(&ports[TRUNK10]), 2);
	finished = 0;
	join_open(&join, join_finished);
	netport_set_vlans(ports[ACCESS10].port, &vlans[ACCESS20], &join);
	join_done(&join, 0);
	rig_until(rig, finished == 1);
	rig_send(&sender, &ports[TRUNK10], &to_1, 1);
	rig_send(&sender, &ports[ACCESS10], &from_1, 1);
	assert_int_equal(rig_port_frames(&ports[ACCESS10]), 2);
	assert_int_equal(rig_port_frames(&ports[TRUNK10]), 2);
	assert_int_equal(rig_port_frames(&ports[ACCESS20]), 1);
	end();
}

static void test_edits_are_pure(void **state)
{
	struct frame frame = {.vlan = 0xabc, .tagged = true};
	uint8_t out[FRAME_HEAD_BYTES + ETHER_TAG_BYTES];

	(void)state;
	/* As long as a head can be, and as short. */
	memset(frame.head, 0x5a, sizeof(frame.head));
	frame.head_bytes = FRAME_HEAD_BYTES;
	assert_int_equal(netport_edit_head(&frame, NETPORT_TAG_PUSH, out), FRAME_HEAD_BYTES + 4);
	assert_memory_equal(out + 12, "\x81\x00\x0a\xbc\x5a", 5);
	assert_int_equal(netport_edit_head(&frame, NETPORT_TAG_SET, out), FRAME_HEAD_BYTES);
	assert_memory_equal(out + 13, "\x5a\x5a\xbc\x5a", 4);
	frame.head_bytes = ETHER_HEADER_BYTES + ETHER_TAG_BYTES;
	assert_int_equal(netport_edit_head(&frame, NETPORT_TAG_POP, out), ETHER_HEADER_BYTES);
}

static void test_refuses(void **state)
{
	struct netport_options options = {.name = "p",
					  .vlans = {.mode = NETPORT_VLAN_ACCESS, .access = 4095}};
	struct netport *port = NULL;
	struct err err = ERR_INIT;

	(void)state;
	begin();
	options.netswitch = rig->sw;
	assert_int_equal(netport_open(&options, &port, &err), -EINVAL);
	assert_non_null(strstr(err.text, "4095"));
	options.vlans.access = 0;
	assert_int_equal(netport_open(&options, &port, &err), -EINVAL);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matrix),
		cmocka_unit_test(test_matrix_of_bursts),
		cmocka_unit_test(test_learns_in_its_vlan),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_edits_are_pure),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests_name("vlan", tests, NULL, NULL);
}
