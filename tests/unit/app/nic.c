/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest with a NIC: a thread that sends frames through its port to whoever sends them back (an
 * uplink of type loop), and counts those that return. Not a load generator: a few are on their way
 * at a time. The thread asserts nothing, for cmocka is the test thread's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "daemon_rig.h"
#include "driver/front.h"
#include "driver/net.h"
#include "driver/shm.h"

#define RING_SLOTS 64
#define BUFFER_BYTES 2048u
#define FRAME_BYTES 60u
/* What is lost while something is changed is sent again after that. */
#define PATIENCE_NS (20 * NS_PER_MS)

struct nic {
	struct guest *guest;
	struct front *front;
	struct shm *shm;
	struct front_queue *fq[2];
	struct net_queue *nq[2]; /* receive, transmit */
	uint64_t sent_ns;
};

static bool bad(struct nic *nic, const char *what, const char *why)
{
	snprintf(nic->guest->error, sizeof(nic->guest->error), "%s: %s", what, why ? why : "?");
	__atomic_store_n(&nic->guest->failed, 1, __ATOMIC_RELEASE);
	return false;
}

static bool boot(struct nic *nic)
{
	struct front_opts opts = {.path = nic->guest->path, .wait_ms = 10000};
	struct ring_opts ring = {.format = RING_SPLIT, .size = RING_SLOTS, .event_idx = true};
	struct shm_opts mem = {.bytes = 1 << 20};

	if (front_open(&nic->front, &opts) || front_negotiate(nic->front, UINT64_MAX))
		return bad(nic, "connecting", nic->front->error);
	if (front_set_features(nic->front, UINT64_C(1) << VIRTIO_F_VERSION_1 |
						   UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX) ||
	    shm_new(&nic->shm, &mem) || front_share_mem(nic->front, nic->shm))
		return bad(nic, "setting up", nic->front->error);
	for (unsigned i = 0; i < 2; i++) {
		struct net_queue_opts net = {
			.slot_cnt = RING_SLOTS, .buffer_bytes = BUFFER_BYTES, .receive = i == 0};

		if (front_queue_new(&nic->fq[i], nic->front, nic->shm, (uint16_t)i, &ring) ||
		    net_queue_new(&nic->nq[i], nic->fq[i], nic->shm, &net) ||
		    front_queue_start(nic->fq[i]))
			return bad(nic, "starting a queue", nic->front->error);
	}
	return net_post(nic->nq[0], RING_SLOTS) >= 0 || bad(nic, "posting", "no buffer was taken");
}

static void halt(struct nic *nic)
{
	for (unsigned i = 0; i < 2; i++) {
		if (nic->nq[i])
			net_queue_free(nic->nq[i]);
		if (nic->fq[i])
			front_queue_free(nic->fq[i]);
	}
	front_close(nic->front);
	if (nic->shm)
		shm_free(nic->shm);
}

static bool send_one(struct nic *nic)
{
	static const uint8_t addresses[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
	struct net_queue *tx = nic->nq[1];
	uint16_t slot;

	if (net_reclaim(tx) < 0)
		return bad(nic, "sending", tx->ring->error);
	if (tx->free_cnt == 0)
		return true;
	slot = net_free_take(tx);
	memset(tx->slot[slot].data, 0, NET_HEADER_BYTES + FRAME_BYTES);
	memcpy(tx->slot[slot].data + NET_HEADER_BYTES, addresses, sizeof(addresses));
	net_slot_shape(tx, slot, NET_HEADER_BYTES + FRAME_BYTES);
	if (net_add(tx, slot))
		return bad(nic, "sending", "the ring is full");
	net_publish(tx);
	nic->sent_ns = clock_now_ns();
	__atomic_fetch_add(&nic->guest->submitted, 1, __ATOMIC_RELEASE);
	return true;
}

/* Frames that came back, and the next one. */
static bool look(struct nic *nic)
{
	struct net_queue *rx = nic->nq[0];
	struct net_frame frame[RING_SLOTS];
	int cnt = net_receive(rx, frame, RING_SLOTS);

	if (cnt < 0)
		return bad(nic, "receiving", rx->ring->error);
	for (int i = 0; i < cnt; i++) {
		/* Another's, or the host's. */
		bool ours = frame[i].bytes == FRAME_BYTES &&
			    frame[i].data[NET_HEADER_BYTES + 5] == 2 &&
			    frame[i].data[NET_HEADER_BYTES + 11] == 1;

		net_frame_done(rx, &frame[i]);
		if (!ours)
			continue;
		__atomic_fetch_add(&nic->guest->done, 1, __ATOMIC_RELEASE);
		if (!send_one(nic))
			return false;
	}
	if (cnt && net_post(rx, RING_SLOTS) < 0)
		return bad(nic, "posting", rx->ring->error);
	return clock_now_ns() - nic->sent_ns < PATIENCE_NS || send_one(nic);
}

static void *run(void *arg)
{
	struct nic nic = {.guest = arg};
	bool fine = boot(&nic);

	while (fine && !__atomic_load_n(&nic.guest->end, __ATOMIC_ACQUIRE)) {
		fine = look(&nic);
		sched_yield();
	}
	halt(&nic);
	__atomic_store_n(&nic.guest->end, true, __ATOMIC_RELEASE);
	return NULL;
}

void nic_start(struct rig *rig, struct guest *guest, const char *port)
{
	memset(guest, 0, sizeof(*guest));
	snprintf(guest->path, sizeof(guest->path), "%s", rig_path(rig, port, "sock"));
	assert_int_equal(pthread_create(&guest->thread, NULL, run, guest), 0);
}
