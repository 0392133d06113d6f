/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_receivers PARIOD WORKERS: receivers that do not do their part, and a tap that is deleted,
 * while a guest floods the switch. The others lose nothing, the sender gets everything back,
 * counters tell. Runs in a network namespace of its own. Not a test of what hostile chains do
 * (net_hostile.c).
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net_rig.h"

#define RECEIVERS 10
#define SKIPPED 77
/* More than rings, pools and inboxes of those that do not drain hold together. */
#define FRAMES 6000u
#define WINDOW 32u
#define FRAME_BYTES 300u

static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

struct stage {
	struct daemon daemon;
	char api[128];
	struct card s;            /* sends */
	struct card r[RECEIVERS]; /* receive */
	uint32_t next[RECEIVERS]; /* number that an honest one wants next */
	bool honest[RECEIVERS];
	uint32_t number;
	uint8_t frame[2048], got[66000];
};

static void drain(struct stage *stage)
{
	for (unsigned i = 0; i < RECEIVERS; i++) {
		uint32_t bytes;

		if (!stage->honest[i])
			continue;
		while ((bytes = card_try_receive(&stage->r[i], NULL, stage->got, true)) != 0) {
			uint32_t number;

			if (!frame_is_ours(stage->got, bytes))
				continue; /* the host says something through the tap */
			number = frame_check(stage->got, bytes, stage->r[i].path);
			if (number != stage->next[i])
				die("%s wants frame %u, %u came", stage->r[i].path, stage->next[i],
				    number);
			stage->next[i]++;
		}
	}
}

static uint32_t slowest(const struct stage *stage)
{
	uint32_t least = stage->number + 1;

	for (unsigned i = 0; i < RECEIVERS; i++) {
		if (stage->honest[i] && stage->next[i] < least)
			least = stage->next[i];
	}
	return least;
}

/* Broadcasts cnt frames, few at a time, and waits until every honest receiver has them. */
static void flood(struct stage *stage, unsigned cnt, const char *what)
{
	struct deadline deadline = deadline_in(60);

	for (unsigned i = 0; i < cnt; i++) {
		frame_fill(stage->frame, FRAME_BYTES, all, stage->s.mac, ++stage->number);
		card_send(&stage->s, NULL, stage->frame, FRAME_BYTES);
		while (slowest(stage) + WINDOW <= stage->number) {
			drain(stage);
			deadline_check(&deadline, what);
		}
	}
	while (slowest(stage) <= stage->number) {
		drain(stage);
		deadline_check(&deadline, what);
	}
	card_wait_sent(&stage->s, what);
}

static uint64_t counter(struct stage *stage, const char *object, const char *name)
{
	return api_counter(stage->api, object, name);
}

static void must_count(struct stage *stage, const char *object, const char *name)
{
	if (counter(stage, object, name) == 0)
		die("%s of %s is 0", name, object);
}

static void honest_up(struct stage *stage, unsigned i)
{
	card_up(&stage->r[i],
		&(struct card_opts){.format = i % 2 ? RING_PACKED : RING_SPLIT, .rx_posted = 128});
	stage->honest[i] = true;
	stage->next[i] = stage->number + 1;
}

static void three_of_ten_do_not_drain(struct stage *stage)
{
	card_down(&stage->r[0]);
	card_down(&stage->r[1]);
	card_down(&stage->r[2]);
	stage->honest[0] = stage->honest[1] = stage->honest[2] = false;
	/* None, too small, and eight that are never posted again. */
	card_up(&stage->r[0], &(struct card_opts){.format = RING_SPLIT});
	card_up(&stage->r[1], &(struct card_opts){.format = RING_PACKED,
						  .rx_buffer_bytes = 64,
						  .rx_posted = 256,
						  .features = CARD_FEATURES_PLAIN &
							      ~CARD_F(VIRTIO_NET_F_MRG_RXBUF)});
	card_up(&stage->r[2], &(struct card_opts){.format = RING_SPLIT, .rx_posted = 8});
	flood(stage, FRAMES, "seven of ten receivers get everything");
	must_count(stage, "ports/r0", "rx_no_buffer");
	must_count(stage, "ports/r1", "rx_small_buffer");
	must_count(stage, "ports/r2", "rx_no_buffer");
	for (unsigned i = 0; i < 3; i++) {
		card_die(&stage->r[i]);
		honest_up(stage, i);
	}
	flood(stage, 100, "all ten receivers get everything again");
}

/* Its transmit ring full of frames, its receive ring full of buffers, and frames on their way. */
static void dies_with_a_full_ring(struct stage *stage)
{
	struct card *dying = &stage->r[3];

	for (unsigned round = 0; round < 8; round++) {
		stage->honest[3] = false;
		for (unsigned i = 0; i < WINDOW; i++) {
			frame_fill(stage->frame, FRAME_BYTES, all, stage->s.mac, ++stage->number);
			card_send(&stage->s, NULL, stage->frame, FRAME_BYTES);
		}
		/* To itself, which a switch drops: the others hear nothing of it. */
		while (dying->tx_free_cnt > 1) {
			uint16_t token = card_tx_token(dying);
			struct ring_seg seg = {shm_gpa(dying->shm, card_tx_buffer(dying, token)),
					       CARD_HEADER_BYTES + FRAME_BYTES};

			/* Too short to be a frame. */
			if (round % 2)
				seg.bytes = CARD_HEADER_BYTES + 4;
			memset(card_tx_buffer(dying, token), 0, CARD_HEADER_BYTES);
			frame_fill(card_tx_buffer(dying, token) + CARD_HEADER_BYTES, FRAME_BYTES,
				   dying->mac, dying->mac, 0);
			if (ring_add(dying->tx->ring, &seg, 1, 0, token) < 0)
				break;
		}
		if (ring_publish(dying->tx->ring))
			front_queue_kick(dying->tx);
		card_die(dying);
		flood(stage, WINDOW, "others after a guest died");
		honest_up(stage, 3);
		flood(stage, WINDOW, "all after a guest came back");
	}
}

static int run(const char *command)
{
	int status = system(command);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void tap_is_deleted(struct stage *stage)
{
	uint64_t before;

	if (run("ip link set ptap0 up") != 0)
		die("the tap of the uplink is not there");
	before = counter(stage, "uplinks/up", "tx_frames");
	flood(stage, 500, "others beside a tap");
	if (counter(stage, "uplinks/up", "tx_frames") < before + 1)
		die("no frame went to the tap");
	for (unsigned i = 0; i < WINDOW; i++) {
		frame_fill(stage->frame, FRAME_BYTES, all, stage->s.mac, ++stage->number);
		card_send(&stage->s, NULL, stage->frame, FRAME_BYTES);
	}
	if (run("ip link del ptap0") != 0)
		die("the tap cannot be deleted");
	flood(stage, 500, "others while a tap is deleted");
	api_wait_counter(stage->api, "uplinks/up", "lost", 1);
	flood(stage, 500, "others after a tap was deleted");
}

static void start(struct stage *stage, const char *pariod, const char *workers)
{
	const char *argv[64] = {pariod,
				"--switch",
				"lan,flood-limit=0",
				"--uplink",
				"up,type=tap,ifname=ptap0,switch=lan",
				"--workers",
				workers,
				"--log-level",
				"error",
				"--api",
				stage->api};
	static char spec[RECEIVERS + 1][256];
	unsigned cnt = 11;

	daemon_prepare(&stage->daemon);
	snprintf(stage->api, sizeof(stage->api), "%s/api", stage->daemon.dir);
	card_init(&stage->s, stage->daemon.dir, "s", 100);
	card_spec(&stage->s, "s", "", spec[RECEIVERS], sizeof(spec[0]));
	argv[cnt++] = "--port";
	argv[cnt++] = spec[RECEIVERS];
	for (unsigned i = 0; i < RECEIVERS; i++) {
		char name[8];

		snprintf(name, sizeof(name), "r%u", i);
		card_init(&stage->r[i], stage->daemon.dir, name, (uint8_t)(i + 1));
		card_spec(&stage->r[i], name, "", spec[i], sizeof(spec[i]));
		argv[cnt++] = "--port";
		argv[cnt++] = spec[i];
	}
	daemon_start(&stage->daemon, argv, stage->s.path);
}

int main(int argc, char **argv)
{
	static struct stage stage;

	if (argc != 3)
		die("usage: net_receivers PARIOD WORKERS");
	if (unshare(CLONE_NEWNET) < 0) {
		printf("no network namespace (%s): not run\n", strerror(errno));
		return SKIPPED;
	}
	start(&stage, argv[1], argv[2]);
	card_up(&stage.s, &(struct card_opts){.format = RING_SPLIT, .rx_posted = 64});
	for (unsigned i = 0; i < RECEIVERS; i++)
		honest_up(&stage, i);
	flood(&stage, 100, "all ten receivers get everything");
	printf("three of ten do not drain: ");
	fflush(stdout);
	three_of_ten_do_not_drain(&stage);
	printf("ok\na guest dies with a full ring: ");
	fflush(stdout);
	dies_with_a_full_ring(&stage);
	printf("ok\na tap is deleted: ");
	fflush(stdout);
	tap_is_deleted(&stage);
	printf("ok\n");
	for (unsigned i = 0; i < RECEIVERS; i++)
		card_down(&stage.r[i]);
	card_down(&stage.s);
	daemon_stop(&stage.daemon);
	return 0;
}
