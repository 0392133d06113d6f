/* SPDX-License-Identifier: Apache-2.0 */
/*
 * net_reflect SOCKET RING SECONDS: sends numbered frames to two reflectors' addresses in turn, from
 * a port of a switch; each reflector's machine sends what it gets out of the other's port, back to
 * us. First as fast as can be with a window, then at half of the rate that came back: every frame
 * must return, whole, in order, once. Reads nothing; test_dpdk.py starts the reflectors.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "net_rig.h"

/* Below what any ring on the way holds, so that a machine that is short of CPUs loses nothing. */
#define WINDOW 96u
#define PATHS 2u
#define SIZE_CNT 5u

struct run {
	struct card card;
	uint8_t to[PATHS][6];
	uint32_t sent[PATHS], got[PATHS];
	uint8_t frame[2048], in[66000];
	uint64_t bytes;
};

static const uint32_t sizes[SIZE_CNT] = {60, 61, 300, 1000, 1514};

static int64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* A path's frames carry even or odd numbers; each path keeps its order. */
static void take(struct run *run)
{
	uint32_t bytes;

	while ((bytes = card_try_receive(&run->card, NULL, run->in, true)) != 0) {
		uint32_t number, path;

		if (!frame_is_ours(run->in, bytes))
			continue; /* what a peer says of its own accord */
		number = frame_check(run->in, bytes, "what came back");
		path = number % PATHS;
		if (number != run->got[path] * PATHS + path)
			die("path %u: frame %u came, %u was expected", path, number,
			    run->got[path] * PATHS + path);
		if (bytes != sizes[number / PATHS % SIZE_CNT])
			die("frame %u came with %u bytes", number, bytes);
		run->got[path]++;
		run->bytes += bytes;
	}
}

static uint32_t outstanding(const struct run *run)
{
	uint32_t out = 0;

	for (unsigned path = 0; path < PATHS; path++)
		out += run->sent[path] - run->got[path];
	return out;
}

static void send_next(struct run *run, unsigned path)
{
	uint32_t number = run->sent[path] * PATHS + path;
	uint32_t bytes = sizes[number / PATHS % SIZE_CNT];

	frame_fill(run->frame, bytes, run->to[path], run->card.mac, number);
	card_send(&run->card, NULL, run->frame, bytes);
	run->sent[path]++;
}

/* Frames a second that came back; rate 0: as many as the window lets. */
static double drive(struct run *run, double seconds, double rate)
{
	int64_t start = now_ns();
	uint64_t got_before = run->got[0] + run->got[1];
	uint64_t cnt = 0;
	double elapsed;

	do {
		elapsed = (double)(now_ns() - start) / 1e9;
		if (outstanding(run) < WINDOW && (rate == 0 || (double)cnt < elapsed * rate)) {
			send_next(run, (unsigned)(cnt % PATHS));
			cnt++;
		} else {
			/* Leaves the CPU to those who have something to do. */
			nanosleep(&(struct timespec){0, 20000}, NULL);
		}
		take(run);
	} while (elapsed < seconds);
	return (double)(run->got[0] + run->got[1] - got_before) / elapsed;
}

static void settle(struct run *run, const char *what)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);

	while (outstanding(run)) {
		take(run);
		deadline_check(&deadline, what);
	}
}

/* The reflectors are not there at once, and the switch has to learn where they are. */
static void meet(struct run *run)
{
	struct deadline deadline = deadline_in(CARD_DEADLINE_S);

	for (unsigned path = 0; path < PATHS; path++) {
		uint32_t tries = 0;

		while (run->got[path] == 0) {
			/* Number `path`, again and again: more than one may come back. */
			if (tries++ % 64 == 0) {
				frame_fill(run->frame, sizes[0], run->to[path], run->card.mac,
					   path);
				card_send(&run->card, NULL, run->frame, sizes[0]);
			}
			uint32_t bytes = card_try_receive(&run->card, NULL, run->in, true);

			if (bytes && frame_is_ours(run->in, bytes) &&
			    frame_check(run->in, bytes, "first") == path)
				run->got[path] = 1;
			else
				nanosleep(&(struct timespec){0, 1000000}, NULL);
			deadline_check(&deadline, "the reflectors answer");
		}
		run->sent[path] = 1;
	}
	/* Those that come late. */
	for (unsigned i = 0; i < 200; i++) {
		card_try_receive(&run->card, NULL, run->in, true);
		nanosleep(&(struct timespec){0, 1000000}, NULL);
	}
}

int main(int argc, char **argv)
{
	static struct run run;
	double seconds, most, got;

	if (argc != 4)
		die("usage: net_reflect SOCKET split|packed SECONDS");
	seconds = strtod(argv[3], NULL);
	card_init(&run.card, ".", "none", 1);
	snprintf(run.card.path, sizeof(run.card.path), "%s", argv[1]);
	for (unsigned path = 0; path < PATHS; path++) {
		run.to[path][0] = 2;
		run.to[path][5] = (uint8_t)(2 + path);
	}
	card_up(&run.card,
		&(struct card_opts){.format = strcmp(argv[2], "packed") == 0 ? RING_PACKED
									     : RING_SPLIT,
				    .rx_posted = 200});
	meet(&run);
	most = drive(&run, seconds / 5, 0);
	settle(&run, "frames sent as fast as can be come back");
	got = drive(&run, seconds, most / 2);
	settle(&run, "frames sent at half of that rate come back");
	card_wait_sent(&run.card, "transmit buffers come back");
	printf("%.0f frames/s with a window of %u, %.0f at half of that; %u frames, %.1f MB, all "
	       "came back\n",
	       most, WINDOW, got, run.got[0] + run.got[1], (double)run.bytes / 1e6);
	card_down(&run.card);
	return 0;
}
