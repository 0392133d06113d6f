/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile PARIOD: a front end and a guest that do what they must not, each case with a name. After
 * every case the daemon lives, another front end's disk works as before, and the attacked disk
 * takes an honest front end again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "driver/blk.h"

#define PROTOCOL                                                             \
	(1ull << VU_PF_MQ | 1ull << VU_PF_REPLY_ACK | 1ull << VU_PF_CONFIG | \
	 1ull << VU_PF_BACKEND_REQ | 1ull << VU_PF_CONFIGURE_MEM_SLOTS)
#define DEADLINE_S 20

struct victim {
	char path[128];
	struct front *f;
	struct shm *shm;
	struct blk_queue *q[2];
	enum ring_format format;
};

static void ok(struct front *f, int rc, const char *what)
{
	if (rc < 0)
		die("%s: %s (%s)", what, f->error, strerror(-rc));
}

static void up(struct victim *v, enum ring_format format, unsigned queues)
{
	struct front_opts opts = {.path = v->path, .wait_ms = 10000};
	struct shm_opts mem = {.bytes = 4 << 20, .region_cnt = 2};
	struct ring_opts ring = {.format = format, .size = 16, .event_idx = true};
	struct blk_queue_opts slots = {.slot_cnt = 4, .data_bytes = 4096};
	uint64_t features;
	int rc = front_open(&v->f, &opts);

	ok(v->f, rc, "connect");
	ok(v->f, front_negotiate(v->f, PROTOCOL), "negotiate");
	features = v->f->features_offered & ~(3ull << 34);
	if (format == RING_PACKED)
		features |= 1ull << 34;
	ok(v->f, front_set_features(v->f, features), "features");
	if (shm_new(&v->shm, &mem) < 0)
		die("no shared memory");
	ok(v->f, front_share_mem(v->f, v->shm), "memory");
	v->format = format;
	for (uint16_t i = 0; i < 2; i++)
		v->q[i] = NULL;
	for (uint16_t i = 0; i < queues; i++) {
		struct front_queue *fq;

		ok(v->f, front_queue_new(&fq, v->f, v->shm, i, &ring), "queue");
		ok(v->f, front_queue_start(fq), "start");
		ok(v->f, blk_queue_new(&v->q[i], fq, v->shm, &slots), "slots");
	}
}

static void down(struct victim *v)
{
	front_close(v->f);
	for (unsigned i = 0; i < 2; i++) {
		struct front_queue *fq = v->q[i] ? v->q[i]->fq : NULL;

		blk_queue_free(v->q[i]);
		front_queue_free(fq);
	}
	shm_free(v->shm);
}

static void reads(struct victim *v, unsigned queue, const char *who)
{
	uint8_t data[512];
	int rc = blk_call(v->q[queue], 0, VIRTIO_BLK_T_IN, 8, data, sizeof(data));

	if (rc != VIRTIO_BLK_S_OK)
		die("%s: a read ends with %d: %s", who, rc, v->f->error);
}

static void wait_broken(struct victim *v)
{
	time_t end = time(NULL) + DEADLINE_S;

	while (!front_queue_failed(v->q[0]->fq)) {
		struct timespec pause = {0, 1000 * 1000};

		if (time(NULL) > end)
			die("the queue's error fd was not signalled");
		nanosleep(&pause, NULL);
	}
	reads(v, 1, "the other queue of the broken disk");
}

/* Makes head the next available chain, whatever it is. Split rings. */
static void expose(struct victim *v, uint16_t head)
{
	struct ring *r = v->q[0]->ring;
	uint16_t idx = r->avail->idx;

	r->avail->ring[idx & r->mask] = head;
	__atomic_store_n(&r->avail->idx, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
	front_queue_kick(v->q[0]->fq);
}

/* The device completes the chain (with an error) and goes on. Split rings. */
static void wait_used(struct victim *v, uint16_t want_idx)
{
	struct ring *r = v->q[0]->ring;
	time_t end = time(NULL) + DEADLINE_S;

	while (__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) != want_idx) {
		if (time(NULL) > end)
			die("the chain was not completed (used %u, want %u)", r->used->idx,
			    want_idx);
		if (front_queue_failed(v->q[0]->fq))
			die("the queue is broken, a completion was expected");
	}
}

static struct vring_desc *desc(struct victim *v, unsigned i)
{
	return &v->q[0]->ring->split_desc[i];
}

static void case_avail_index_jumps(struct victim *v)
{
	v->q[0]->ring->avail->idx += 17;
	front_queue_kick(v->q[0]->fq);
	wait_broken(v);
}

static void case_head_out_of_range(struct victim *v)
{
	expose(v, 16);
	wait_broken(v);
}

static void bad_chain(struct victim *v, const char *unused)
{
	(void)unused;
	expose(v, 0);
	wait_used(v, 1);
	if (front_queue_failed(v->q[0]->fq))
		die("one bad chain broke the queue");
}

static uint64_t data_gpa(struct victim *v)
{
	return shm_gpa(v->shm, v->q[0]->slot[0].data);
}

static void case_chain_loops(struct victim *v)
{
	*desc(v, 0) = (struct vring_desc){data_gpa(v), 16, VRING_DESC_F_NEXT, 1};
	*desc(v, 1) = (struct vring_desc){data_gpa(v), 16, VRING_DESC_F_NEXT, 0};
	bad_chain(v, "loop");
}

static void case_next_out_of_range(struct victim *v)
{
	*desc(v, 0) = (struct vring_desc){data_gpa(v), 16, VRING_DESC_F_NEXT, 999};
	bad_chain(v, "next");
}

static void case_descriptor_of_length_zero(struct victim *v)
{
	*desc(v, 0) = (struct vring_desc){data_gpa(v), 0, VRING_DESC_F_NEXT, 1};
	*desc(v, 1) = (struct vring_desc){data_gpa(v) + 64, 1, VRING_DESC_F_WRITE, 0};
	bad_chain(v, "zero");
}

static void case_address_wraps(struct victim *v)
{
	*desc(v, 0) = (struct vring_desc){UINT64_MAX - 8, 16, VRING_DESC_F_NEXT, 1};
	*desc(v, 1) = (struct vring_desc){data_gpa(v), 1, VRING_DESC_F_WRITE, 0};
	bad_chain(v, "wrap");
}

static void case_buffer_beyond_the_last_region(struct victim *v)
{
	struct shm_region *last = &v->shm->region[v->shm->region_cnt - 1];

	*desc(v, 0) = (struct vring_desc){last->gpa + last->bytes - 8, 16, VRING_DESC_F_NEXT, 1};
	*desc(v, 1) = (struct vring_desc){data_gpa(v), 1, VRING_DESC_F_WRITE, 0};
	bad_chain(v, "edge");
}

static void case_address_of_nothing(struct victim *v)
{
	*desc(v, 0) = (struct vring_desc){0x10, 16, VRING_DESC_F_NEXT, 1};
	*desc(v, 1) = (struct vring_desc){0x20, 1, VRING_DESC_F_WRITE, 0};
	bad_chain(v, "nothing");
}

static void case_readable_after_writable(struct victim *v)
{
	*desc(v, 0) =
		(struct vring_desc){data_gpa(v), 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1};
	*desc(v, 1) = (struct vring_desc){data_gpa(v) + 64, 16, 0, 0};
	bad_chain(v, "order");
}

static void case_indirect_table_length_odd(struct victim *v)
{
	*desc(v, 0) = (struct vring_desc){data_gpa(v), 40, VRING_DESC_F_INDIRECT, 0};
	bad_chain(v, "length");
}

static void case_indirect_table_of_4_gib(struct victim *v)
{
	*desc(v, 0) = (struct vring_desc){data_gpa(v), 0xfffffff0u, VRING_DESC_F_INDIRECT, 0};
	bad_chain(v, "length");
}

static void case_indirect_in_indirect(struct victim *v)
{
	struct vring_desc *table = (struct vring_desc *)(void *)v->q[0]->slot[0].data;

	table[0] = (struct vring_desc){data_gpa(v), 16, VRING_DESC_F_INDIRECT, 0};
	*desc(v, 0) = (struct vring_desc){data_gpa(v), 16, VRING_DESC_F_INDIRECT, 0};
	bad_chain(v, "nested");
}

static void case_header_too_short(struct victim *v)
{
	*desc(v, 0) = (struct vring_desc){data_gpa(v), 15, VRING_DESC_F_NEXT, 1};
	*desc(v, 1) = (struct vring_desc){data_gpa(v) + 64, 1, VRING_DESC_F_WRITE, 0};
	bad_chain(v, "header");
}

static void case_no_status_byte(struct victim *v)
{
	memset(v->q[0]->slot[0].data, 0, 64);
	*desc(v, 0) = (struct vring_desc){data_gpa(v), 16, 0, 0};
	bad_chain(v, "status");
}

static void case_same_head_twice(struct victim *v)
{
	struct ring *r = v->q[0]->ring;
	struct virtio_blk_outhdr *header = v->q[0]->slot[0].header;
	uint64_t gpa = shm_gpa(v->shm, header);

	/* A flush takes the longest of what `file` does; both copies are in one burst. */
	memset(header, 0, sizeof(*header));
	header->type = VIRTIO_BLK_T_FLUSH;
	*desc(v, 0) = (struct vring_desc){gpa, 16, VRING_DESC_F_NEXT, 1};
	*desc(v, 1) = (struct vring_desc){data_gpa(v), 1, VRING_DESC_F_WRITE, 0};
	r->avail->ring[0] = 0;
	r->avail->ring[1] = 0;
	__atomic_store_n(&r->avail->idx, 2, __ATOMIC_RELEASE);
	front_queue_kick(v->q[0]->fq);
	wait_broken(v);
}

static void case_memory_vanishes(struct victim *v)
{
	reads(v, 0, "before its memory vanished");
	for (unsigned i = 0; i < v->shm->region_cnt; i++) {
		if (ftruncate(v->shm->region[i].fd, 0) < 0)
			die("ftruncate: %s", strerror(errno));
	}
	front_queue_kick(v->q[0]->fq);
	/* Our own mapping is gone too; the connection still answers. */
	uint64_t features;

	ok(v->f, front_query_u64(v->f, VU_GET_FEATURES, &features), "features afterwards");
}

static void case_ring_not_in_memory(struct victim *v)
{
	struct vu_vring_state off = {1, 0};

	/* The second queue's addresses point nowhere: refused by name, the first goes on. */
	ok(v->f, front_call(v->f, VU_SET_VRING_ENABLE, &off, sizeof(off), NULL, 0), "disable");
	struct {
		uint32_t idx, flags;
		uint64_t desc, used, avail, log;
	} where = {1, 0, 0x1000, 0x2000, 0x3000, 0};
	struct vu_vring_state on = {1, 1};
	int rc = front_call(v->f, VU_SET_VRING_ADDR, &where, sizeof(where), NULL, 0);

	if (rc == 0)
		rc = front_call(v->f, VU_SET_VRING_ENABLE, &on, sizeof(on), NULL, 0);
	if (rc != -EREMOTEIO)
		die("a ring outside of memory was not refused (%d)", rc);
	reads(v, 0, "the queue that is well");
}

static void case_region_of_a_running_queue_removed(struct victim *v)
{
	struct shm_region *ring_region = NULL;

	for (unsigned i = 0; i < v->shm->region_cnt; i++) {
		struct shm_region *region = &v->shm->region[i];
		uint64_t gpa = v->q[0]->ring->desc_gpa;

		if (gpa >= region->gpa && gpa < region->gpa + region->bytes)
			ring_region = region;
	}
	/* Removing it breaks the queue, or is refused; either way nothing hangs. */
	int rc = front_rem_mem_reg(v->f, ring_region);

	if (rc < 0 && rc != -EREMOTEIO)
		die("REM_MEM_REG: %s", v->f->error);
	uint64_t features;

	ok(v->f, front_query_u64(v->f, VU_GET_FEATURES, &features), "features afterwards");
}

static void case_messages_of_wrong_size(struct victim *v)
{
	char path[128];

	snprintf(path, sizeof(path), "%s", v->path);
	for (uint32_t request = 0; request <= 46; request++) {
		for (uint32_t size = 1; size <= 5000; size = size * 7 + 3) {
			static const uint8_t junk[8192];
			struct front_opts opts = {.path = path, .wait_ms = 10000};

			front_close(v->f);
			ok(v->f, front_open(&v->f, &opts), "connect");
			ok(v->f, front_negotiate(v->f, PROTOCOL), "negotiate");
			(void)front_send_raw(v->f, request, VU_FLAG_VERSION | VU_FLAG_NEED_REPLY,
					     size, junk, size, NULL, 0);
		}
	}
}

static void case_surplus_descriptors(struct victim *v)
{
	int fds[8];

	for (unsigned i = 0; i < 8; i++)
		fds[i] = v->q[0]->fq->call_fd;
	for (uint32_t request = 1; request <= 45; request++) {
		struct front_opts opts = {.path = v->path, .wait_ms = 10000};

		front_close(v->f);
		ok(v->f, front_open(&v->f, &opts), "connect");
		ok(v->f, front_negotiate(v->f, PROTOCOL), "negotiate");
		(void)front_send_raw(v->f, request, VU_FLAG_VERSION | VU_FLAG_NEED_REPLY, 0, NULL,
				     0, fds, 8);
	}
}

static void case_peer_that_does_not_read(struct victim *v)
{
	/* Fills the socket with questions; the daemon must neither wait nor grow for ever. */
	for (unsigned i = 0; i < 20000; i++) {
		struct vu_header header = {VU_GET_FEATURES, VU_FLAG_VERSION, 0};

		if (send(v->f->sock, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
	}
}

static const struct {
	const char *name;
	void (*run)(struct victim *v);
} cases[] = {
#define CASE(n)              \
	{                    \
#n, case_##n \
	}
	CASE(avail_index_jumps),
	CASE(head_out_of_range),
	CASE(same_head_twice),
	CASE(chain_loops),
	CASE(next_out_of_range),
	CASE(descriptor_of_length_zero),
	CASE(address_wraps),
	CASE(buffer_beyond_the_last_region),
	CASE(address_of_nothing),
	CASE(readable_after_writable),
	CASE(indirect_table_length_odd),
	CASE(indirect_table_of_4_gib),
	CASE(indirect_in_indirect),
	CASE(header_too_short),
	CASE(no_status_byte),
	CASE(memory_vanishes),
	CASE(ring_not_in_memory),
	CASE(region_of_a_running_queue_removed),
	CASE(messages_of_wrong_size),
	CASE(surplus_descriptors),
	CASE(peer_that_does_not_read),
};

int main(int argc, char **argv)
{
	struct daemon_usage before, after;
	struct victim attacked, honest;
	char spec_a[512], spec_b[256], image[128];
	struct daemon d;
	FILE *file;

	if (argc != 2)
		die("usage: hostile PARIOD");
	daemon_prepare(&d);
	snprintf(attacked.path, sizeof(attacked.path), "%s/a.sock", d.dir);
	snprintf(honest.path, sizeof(honest.path), "%s/b.sock", d.dir);
	snprintf(image, sizeof(image), "%s/a.img", d.dir);
	file = fopen(image, "w");
	if (!file || ftruncate(fileno(file), 16 << 20) < 0)
		die("%s: %s", image, strerror(errno));
	fclose(file);
	snprintf(spec_a, sizeof(spec_a), "a,path=%s,cache=writeback,queues=4,socket=%s", image,
		 attacked.path);
	snprintf(spec_b, sizeof(spec_b), "b,backend=ram,size=16M,queues=4,socket=%s", honest.path);
	daemon_start(&d,
		     (const char *[]){argv[1], "--disk", spec_a, "--disk", spec_b, "--workers", "0",
				      "--log-level", "error", NULL},
		     honest.path);
	up(&honest, RING_PACKED, 2);
	reads(&honest, 0, "the honest front end");
	daemon_usage(&d, &before);
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		up(&attacked, RING_SPLIT, 2);
		cases[i].run(&attacked);
		reads(&honest, 0, cases[i].name);
		reads(&honest, 1, cases[i].name);
		down(&attacked);
		up(&attacked, i % 2 ? RING_SPLIT : RING_PACKED, 2);
		reads(&attacked, 0, cases[i].name);
		down(&attacked);
		printf("ok %s\n", cases[i].name);
		fflush(stdout);
	}
	for (int i = 0; i < 1000; i++) {
		struct timespec pause = {0, 10 * 1000 * 1000};

		daemon_usage(&d, &after);
		if (after.fds <= before.fds)
			break;
		nanosleep(&pause, NULL);
	}
	if (after.fds != before.fds || after.threads != before.threads)
		die("fds %u -> %u, threads %u -> %u", before.fds, after.fds, before.threads,
		    after.threads);
	down(&honest);
	daemon_stop(&d);
	return 0;
}
