/* SPDX-License-Identifier: Apache-2.0 */
/*
 * churn PARIOD CYCLES CHANGES: front ends come and go, and memory tables change under load; then
 * pariod's descriptors, mappings and threads are what they were after the first tenth of a percent
 * of it, and its own memory within 1 MiB (not judged under a sanitizer, which keeps freed memory).
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "driver/blk.h"

#define WARMUP_CYCLES 100
#define RSS_SLACK_BYTES (1ull << 20)
#define PROTOCOL                                                             \
	(1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_CONFIG | \
	 1ull << VU_PF_BACKEND_REQ | 1ull << VU_PF_CONFIGURE_MEM_SLOTS)

static void ok(struct front *f, int rc, const char *what)
{
	if (rc < 0)
		die("%s: %s (%s)", what, f->error, strerror(-rc));
}

static struct front *handshake(const char *path, struct shm *shm)
{
	struct front_opts opts = {.path = path, .wait_ms = 10000};
	struct blk_config config;
	struct front *f;
	int rc = front_open(&f, &opts);

	ok(f, rc, "connect");
	ok(f, front_negotiate(f, PROTOCOL), "negotiate");
	ok(f, front_set_features(f, f->features_offered & ~(1ull << 34) & ~(1ull << 35)),
	   "features");
	ok(f, blk_config_get(f, &config), "config");
	ok(f, front_share_mem(f, shm), "memory");
	return f;
}

static struct blk_queue *queue_up(struct front *f, struct shm *shm, uint16_t idx)
{
	struct ring_opts ring = {.format = RING_SPLIT, .size = 64, .event_idx = true};
	struct blk_queue_opts opts = {.slot_cnt = 8, .data_bytes = 4096};
	struct front_queue *fq;
	struct blk_queue *q;

	ok(f, front_queue_new(&fq, f, shm, idx, &ring), "queue");
	ok(f, front_queue_start(fq), "start");
	ok(f, blk_queue_new(&q, fq, shm, &opts), "slots");
	return q;
}

static void queue_down(struct blk_queue *q)
{
	struct front_queue *fq = q->fq;

	blk_queue_free(q);
	front_queue_free(fq);
}

static void one_read(struct front *f, struct blk_queue *q)
{
	uint8_t data[512];
	int rc = blk_call(q, 0, VIRTIO_BLK_T_IN, 8, data, sizeof(data));

	ok(f, rc, "read");
	if (rc != VIRTIO_BLK_S_OK)
		die("read: status %d", rc);
}

/* A connection ends at one of several points: before, with and in the middle of queues. */
static void cycle(const char *path, struct shm *shm, unsigned round)
{
	uint64_t mark = shm->next_bytes;
	struct front *f = handshake(path, shm);
	struct blk_queue *q = NULL;

	if (round % 4 != 0)
		q = queue_up(f, shm, (uint16_t)(round % 3));
	if (round % 4 >= 2)
		one_read(f, q);
	if (round % 4 == 3)
		ok(f, front_queue_stop(q->fq, NULL), "stop");
	front_close(f);
	if (q)
		queue_down(q);
	shm_rewind(shm, mark);
}

/* The same memory again, and the same through other files: both while a queue works. */
static void change_memory(struct front *f, struct blk_queue *q, struct shm *shm, unsigned round)
{
	uint16_t slot = (uint16_t)(1 + round % 7);

	ok(f, blk_start(q, slot, VIRTIO_BLK_T_IN, 16, 4096), "start of a read");
	if (ring_publish(q->ring))
		front_queue_kick(q->fq);
	ok(f, front_set_mem_table(f, shm), "memory table");
	for (;;) {
		struct ring_used used;
		int n = ring_get_used(q->ring, &used, 1);

		if (n < 0)
			die("ring: %s", q->ring->error);
		if (n == 1 && used.token == slot)
			break;
		if (front_queue_failed(q->fq))
			die("queue broken at change %u", round);
	}
	if (blk_status(q, slot) != VIRTIO_BLK_S_OK)
		die("read under change %u: status %u", round, blk_status(q, slot));
}

/* Not in a state that depends on timing: wait until the last front end is gone. */
static void settle(const struct daemon *daemon, unsigned fds, struct daemon_usage *usage)
{
	for (int i = 0; i < 1000; i++) {
		daemon_usage(daemon, usage);
		if (usage->fds <= fds)
			return;
		struct timespec wait = {0, 10 * 1000 * 1000};

		nanosleep(&wait, NULL);
	}
}

static void compare(const char *what, const struct daemon_usage *before,
		    const struct daemon_usage *after)
{
	printf("%s: fds %u -> %u, mappings %u -> %u, threads %u -> %u, rss %llu -> %llu KiB\n",
	       what, before->fds, after->fds, before->mappings, after->mappings, before->threads,
	       after->threads, (unsigned long long)before->rss_bytes >> 10,
	       (unsigned long long)after->rss_bytes >> 10);
	if (after->fds != before->fds)
		die("%s: descriptors leaked", what);
#ifndef __SANITIZE_ADDRESS__
	if (after->mappings > before->mappings)
		die("%s: mappings leaked", what);
	if (after->rss_bytes > before->rss_bytes + RSS_SLACK_BYTES)
		die("%s: memory grew by more than 1 MiB", what);
#endif
	if (after->threads != before->threads)
		die("%s: threads leaked", what);
}

int main(int argc, char **argv)
{
	unsigned cycles, changes;
	struct daemon_usage before, after;
	struct shm_opts shm_opts = {.bytes = 8 << 20, .region_cnt = 4};
	struct blk_queue *q;
	struct daemon d;
	struct shm *shm;
	struct front *f;
	char spec[256], path[128];

	if (argc != 4)
		die("usage: churn PARIOD CYCLES CHANGES");
	cycles = (unsigned)strtoul(argv[2], NULL, 10);
	changes = (unsigned)strtoul(argv[3], NULL, 10);
	daemon_prepare(&d);
	snprintf(path, sizeof(path), "%s/a.sock", d.dir);
	snprintf(spec, sizeof(spec), "a,backend=ram,size=16M,queues=4,socket=%s", path);
	daemon_start(&d,
		     (const char *[]){argv[1], "--disk", spec, "--workers", "0", "--log-level",
				      "warn", NULL},
		     path);
	if (shm_new(&shm, &shm_opts) < 0)
		die("no shared memory");
	for (unsigned i = 0; i < WARMUP_CYCLES; i++)
		cycle(path, shm, i);
	settle(&d, 0, &before);
	for (unsigned i = 0; i < cycles; i++)
		cycle(path, shm, i);
	settle(&d, before.fds, &after);
	compare("connections", &before, &after);

	f = handshake(path, shm);
	q = queue_up(f, shm, 0);
	for (unsigned i = 0; i < WARMUP_CYCLES; i++)
		change_memory(f, q, shm, i);
	daemon_usage(&d, &before);
	for (unsigned i = 0; i < changes; i++)
		change_memory(f, q, shm, i);
	daemon_usage(&d, &after);
	compare("memory tables", &before, &after);
	front_close(f);
	queue_down(q);
	shm_free(shm);
	daemon_stop(&d);
	printf("%u connections, %u memory tables: nothing leaked\n", cycles, changes);
	return 0;
}
