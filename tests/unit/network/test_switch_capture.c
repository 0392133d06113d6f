/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Captures of ports of a real switch over two workers: both directions, tags, drops and their
 * reasons, beginning and ending while frames go. Not what a capture's file is (test_capture.c).
 */
#include "pcapng_reader.h"
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "network/capture.h"

static struct {
	struct rig *rig;
	struct rig_port ports[3];
	unsigned port_cnt;
	struct rig_sender senders[2]; /* of each worker */
	struct capture *capture;
	char path[64];
	unsigned started;
	unsigned ended;
} t;

static void begin(void)
{
	memset(&t, 0, sizeof(t));
	t.rig = rig_new(2, NULL, POLL_MODE_ADAPTIVE);
	for (unsigned i = 0; i < 2; i++)
		rig_sender_init(&t.senders[i], t.rig, i);
}

static void open_port(struct netport_options *options, int worker)
{
	rig_port_open(t.rig, &t.ports[t.port_cnt++], options, worker);
}

static void end(void)
{
	for (unsigned i = 0; i < 2; i++)
		rig_sender_fini(&t.senders[i]);
	for (unsigned i = 0; i < t.port_cnt; i++)
		rig_port_close(&t.ports[i]);
	rig_free(t.rig);
	unlink(t.path);
}

static void capture_has_started(struct capture *capture, void *arg)
{
	(void)capture;
	(void)arg;
	t.started++;
}

static void capture_has_ended(struct capture *capture, void *arg)
{
	(void)capture;
	(void)arg;
	t.ended++;
}

static void start(unsigned port, bool drops_only)
{
	struct capture_options options = {
		.port = t.ports[port].port,
		.port_name = "p",
		.file_name = t.path,
		.worker_cnt = 2,
		.control = t.rig->loop,
		.size_bytes = CAPTURE_SIZE_DEFAULT,
		.snaplen = CAPTURE_SNAPLEN_MAX,
		.in = true,
		.out = true,
		.drops_only = drops_only,
		.started = capture_has_started,
		.ended = capture_has_ended,
	};
	struct err err = ERR_INIT;
	int fd;

	t.started = 0;
	t.ended = 0;
	snprintf(t.path, sizeof(t.path), "/tmp/pario-switch-capture-XXXXXX");
	fd = mkstemp(t.path);
	assert_true(fd >= 0);
	if (capture_start(&options, fd, NULL, &t.capture, &err))
		fail_msg("%s", err.text);
	rig_until(t.rig, t.started == 1);
}

/* What it wrote; the capture is gone. */
static struct reader *stop(void)
{
	struct reader *reader;

	capture_stop(t.capture, CAPTURE_END_ASKED);
	rig_until(t.rig, t.ended == 1);
	capture_free(t.capture);
	reader = reader_open(t.path);
	assert_true(reader->has_statistics);
	unlink(t.path);
	return reader;
}

static void send_tagged(unsigned worker, unsigned port, uint64_t from, uint64_t to, int tci)
{
	const struct rig_head head = {.to = to, .from = from, .tci = tci, .type = 0x1234};

	/* A worker's own time may be that before the call: frames are to be in order. */
	rig_send_at(&t.senders[worker], &t.ports[port], &head, 1, clock_now_ns());
}

static void send_one(unsigned worker, unsigned port, uint64_t from, uint64_t to)
{
	send_tagged(worker, port, from, to, RIG_NO_TAG);
}

static void expect(const struct reader *reader, unsigned idx, unsigned flags, uint64_t from,
		   const char *comment)
{
	const struct reader_packet *packet = &reader->packets[idx];
	uint8_t mac[6];

	assert_true(idx < reader->packet_cnt);
	rig_mac_bytes(from, mac);
	assert_int_equal(packet->flags, flags);
	assert_memory_equal(packet->data + 6, mac, 6);
	assert_string_equal(packet->comment, comment);
}

#define IN 1
#define OUT 2

/* From both workers; what passes by is not there. */
static void both_directions(void **state)
{
	struct reader *reader;

	(void)state;
	begin();
	for (int i = 0; i < 3; i++)
		open_port(NULL, i % 2);
	send_one(0, 0, rig_mac(1), rig_mac(9)); /* learnt by all, and not captured */
	start(1, false);
	send_one(1, 1, rig_mac(2), rig_mac(1));
	send_one(0, 0, rig_mac(1), rig_mac(2));
	send_one(0, 2, rig_mac(3), RIG_BROADCAST);
	rig_until(t.rig, rig_stats(&t.ports[1]).out_frames == 3);
	send_one(0, 2, rig_mac(3), rig_mac(1)); /* passes by */
	reader = stop();
	send_one(0, 0, rig_mac(1), rig_mac(2)); /* no more */
	assert_int_equal(reader->packet_cnt, 3);
	expect(reader, 0, IN, rig_mac(2), "");
	expect(reader, 1, OUT, rig_mac(1), "");
	expect(reader, 2, OUT, rig_mac(3), "");
	assert_int_equal(reader->packets[0].original_bytes, 60);
	assert_true(reader->received == 3 && reader->dropped == 0);
	reader_free(reader);
	end();
}

static void drops_have_their_reasons(void **state)
{
	struct netport_options locked = {.mac_lock = true};
	struct netport_options access = {.vlans = {.mode = NETPORT_VLAN_ACCESS, .access = 5}};
	struct reader *reader;

	(void)state;
	begin();
	rig_mac_bytes(rig_mac(1), locked.mac);
	open_port(&locked, 0);
	open_port(&access, -1);
	start(0, false);
	send_one(0, 0, rig_mac(66), rig_mac(2));
	send_one(0, 0, rig_mac(1), rig_mac(1));
	send_one(0, 0, rig_mac(1), RIG_BROADCAST);
	send_tagged(0, 0, rig_mac(1), rig_mac(2), 4095);
	reader = stop();
	assert_int_equal(reader->packet_cnt, 4);
	expect(reader, 0, IN, rig_mac(66), "dropped: spoofed source");
	expect(reader, 1, IN, rig_mac(1), "dropped: destination behind its own port");
	expect(reader, 2, IN, rig_mac(1), "dropped: no other port");
	expect(reader, 3, IN, rig_mac(1), "dropped: vlan of another port");
	reader_free(reader);

	/* The other one has no queue that would take its frames. */
	start(1, true);
	send_tagged(0, 0, rig_mac(1), RIG_BROADCAST, 5);
	send_tagged(0, 0, rig_mac(1), RIG_BROADCAST, 6);
	reader = stop();
	assert_int_equal(reader->packet_cnt, 1);
	expect(reader, 0, OUT, rig_mac(1), "dropped: receiver has no running queue, vlan 5");
	assert_int_equal(reader->packets[0].original_bytes, 56);
	reader_free(reader);
	end();
}

/* As the port sees them: an access port has no tags, a trunk has. */
static void tags_are_those_of_the_port(void **state)
{
	struct netport_options access = {.vlans = {.mode = NETPORT_VLAN_ACCESS, .access = 5}};
	struct reader *reader;

	(void)state;
	begin();
	open_port(NULL, 0);
	open_port(&access, 1);
	start(0, false);
	send_one(1, 1, rig_mac(2), RIG_BROADCAST);
	rig_until(t.rig, rig_stats(&t.ports[0]).out_frames == 1);
	reader = stop();
	expect(reader, 0, OUT, rig_mac(2), "");
	assert_int_equal(reader->packets[0].original_bytes, 64);
	assert_memory_equal(reader->packets[0].data + 12, "\x81\x00\x00\x05\x12\x34", 6);
	reader_free(reader);
	start(1, false);
	send_one(1, 1, rig_mac(2), RIG_BROADCAST);
	reader = stop();
	expect(reader, 0, IN, rig_mac(2), "vlan 5");
	assert_int_equal(reader->packets[0].original_bytes, 60);
	reader_free(reader);
	end();
}

/* Captures come and go while frames do: all that is in a file is whole. */
static void begins_and_ends_under_load(void **state)
{
	struct rig_head heads[NETPORT_BURST];
	uint64_t frames = 0;

	(void)state;
	for (unsigned i = 0; i < NETPORT_BURST; i++)
		heads[i] = (struct rig_head){
			.to = rig_mac(2), .from = rig_mac(1), .tci = RIG_NO_TAG, .type = 0x1234};
	begin();
	open_port(NULL, 0);
	open_port(NULL, 1);
	send_one(1, 1, rig_mac(2), rig_mac(1));
	for (unsigned round = 0; round < 100; round++) {
		struct reader *reader;

		start(round % 2, false);
		for (unsigned i = 0; i < 10; i++) {
			rig_until(t.rig, get(&t.senders[0].sent) - get(&t.senders[0].back) < 512);
			rig_send(&t.senders[0], &t.ports[0], heads, NETPORT_BURST);
		}
		reader = stop();
		frames += reader->packet_cnt;
		for (unsigned i = 0; i < reader->packet_cnt; i++)
			expect(reader, i, round % 2 ? OUT : IN, rig_mac(1),
			       reader->packets[i].comment);
		reader_free(reader);
	}
	assert_true(frames > 0);
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directions),
		cmocka_unit_test(drops_have_their_reasons),
		cmocka_unit_test(tags_are_those_of_the_port),
		cmocka_unit_test(begins_and_ends_under_load),
	};

	return cmocka_run_group_tests_name("switch_capture", tests, NULL, NULL);
}
