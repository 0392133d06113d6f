/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guests of the operation tests: threads with a front end of tools/bench/driver.
 * Not a load generator. The threads assert nothing, for cmocka is the test thread's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "daemon_rig.h"
#include "driver/blk.h"
#include "driver/front.h"
#include "driver/shm.h"

#define READ_BYTES 4096u

/* What a guest's thread holds. */
struct machine {
	struct guest *guest;
	struct front *front;
	struct shm *shm;
	struct front_queue *fq[RIG_GUEST_QUEUES_MAX];
	struct blk_queue *bq[RIG_GUEST_QUEUES_MAX];
	unsigned done[RIG_GUEST_QUEUES_MAX];
};

static bool bad(struct machine *m, const char *what, const char *why)
{
	if (__atomic_load_n(&m->guest->failed, __ATOMIC_ACQUIRE))
		return false;
	snprintf(m->guest->error, sizeof(m->guest->error), "%s: %s", what, why);
	__atomic_store_n(&m->guest->failed, 1, __ATOMIC_RELEASE);
	return false;
}

static bool boot(struct machine *m)
{
	struct front_opts opts = {.path = m->guest->path, .wait_ms = 10000};
	struct ring_opts ring = {.format = RING_SPLIT, .size = 16, .event_idx = true};
	struct blk_queue_opts blk = {.slot_cnt = 1, .data_bytes = READ_BYTES};
	struct shm_opts mem = {.bytes = 1 << 20};

	if (front_open(&m->front, &opts) || front_negotiate(m->front, UINT64_MAX))
		return bad(m, "connecting", m->front->error);
	if (front_set_features(m->front, UINT64_C(1) << VIRTIO_F_VERSION_1 |
						 UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX |
						 UINT64_C(1) << VIRTIO_BLK_F_MQ) ||
	    shm_new(&m->shm, &mem) || front_share_mem(m->front, m->shm))
		return bad(m, "setting up", m->front->error);
	for (unsigned i = 0; i < m->guest->queues; i++) {
		if (front_queue_new(&m->fq[i], m->front, m->shm, (uint16_t)i, &ring) ||
		    blk_queue_new(&m->bq[i], m->fq[i], m->shm, &blk) || front_queue_start(m->fq[i]))
			return bad(m, "starting a queue", m->front->error);
	}
	return true;
}

static void halt(struct machine *m)
{
	for (unsigned i = 0; i < m->guest->queues; i++) {
		if (m->bq[i])
			blk_queue_free(m->bq[i]);
		if (m->fq[i])
			front_queue_free(m->fq[i]);
	}
	front_close(m->front);
	if (m->shm)
		shm_free(m->shm);
}

static bool submit(struct machine *m, unsigned i)
{
	if (blk_start(m->bq[i], 0, VIRTIO_BLK_T_IN, 8 * i, READ_BYTES))
		return bad(m, "submitting", "the ring is full");
	if (ring_publish(m->bq[i]->ring))
		front_queue_kick(m->fq[i]);
	__atomic_fetch_add(&m->guest->submitted, 1, __ATOMIC_RELEASE);
	return true;
}

/* A completion, if there is one, and the next request. */
static bool look(struct machine *m, unsigned i)
{
	unsigned least = UINT32_MAX;
	struct ring_used used;
	int cnt = ring_get_used(m->bq[i]->ring, &used, 1);

	if (cnt == 0)
		return true;
	if (cnt < 0)
		return bad(m, "completion", m->bq[i]->ring->error);
	if (blk_status(m->bq[i], 0) != VIRTIO_BLK_S_OK)
		return bad(m, "read", blk_status_name(blk_status(m->bq[i], 0)));
	m->done[i]++;
	for (unsigned q = 0; q < m->guest->queues; q++)
		least = m->done[q] < least ? m->done[q] : least;
	/* The slowest queue's, so that one that stands still is seen. */
	__atomic_store_n(&m->guest->done, least, __ATOMIC_RELEASE);
	return submit(m, i);
}

static void *run(void *arg)
{
	struct machine m = {.guest = arg};
	struct guest *guest = arg;
	bool fine = boot(&m);

	for (unsigned i = 0; i < guest->queues && fine; i++)
		fine = submit(&m, i);
	if (guest->one_read && fine)
		front_expect_close(m.front);
	while (fine && !guest->one_read && !__atomic_load_n(&guest->end, __ATOMIC_ACQUIRE)) {
		for (unsigned i = 0; i < guest->queues && fine; i++)
			fine = look(&m, i);
		sched_yield();
	}
	halt(&m);
	__atomic_store_n(&guest->end, true, __ATOMIC_RELEASE);
	return NULL;
}

static void check(const struct guest *guest)
{
	if (__atomic_load_n(&guest->failed, __ATOMIC_ACQUIRE))
		fail_msg("the guest of %s: %s", guest->path, guest->error);
}

static void start(struct rig *rig, struct guest *guest, const char *disk)
{
	snprintf(guest->path, sizeof(guest->path), "%s", rig_path(rig, disk, "sock"));
	assert_int_equal(pthread_create(&guest->thread, NULL, run, guest), 0);
}

void guest_start(struct rig *rig, struct guest *guest, const char *disk, unsigned queues)
{
	memset(guest, 0, sizeof(*guest));
	guest->queues = queues;
	start(rig, guest, disk);
	guest_progress(rig, guest);
}

void guest_start_one(struct rig *rig, struct guest *guest, const char *disk)
{
	memset(guest, 0, sizeof(*guest));
	guest->queues = 1;
	guest->one_read = true;
	start(rig, guest, disk);
	rig_until(rig, __atomic_load_n(&guest->submitted, __ATOMIC_ACQUIRE) ||
			       __atomic_load_n(&guest->failed, __ATOMIC_ACQUIRE));
	check(guest);
}

void guest_progress(struct rig *rig, struct guest *guest)
{
	unsigned before = __atomic_load_n(&guest->done, __ATOMIC_ACQUIRE);

	rig_until(rig, __atomic_load_n(&guest->done, __ATOMIC_ACQUIRE) > before + 2 ||
			       __atomic_load_n(&guest->failed, __ATOMIC_ACQUIRE));
	check(guest);
}

void guest_end(struct rig *rig, struct guest *guest)
{
	if (!guest->one_read)
		__atomic_store_n(&guest->end, true, __ATOMIC_RELEASE);
	rig_until(rig, __atomic_load_n(&guest->end, __ATOMIC_ACQUIRE));
	assert_int_equal(pthread_join(guest->thread, NULL), 0);
	check(guest);
}
