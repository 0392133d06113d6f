/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fake back end's messages and its loop.
 * The disk is in fake_disk.c, the rings in fake_ring.c, the program in fake_backend_main.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>

#include "driver/channel.h"
#include "fake/fake_backend.h"

#define BIT(n) (UINT64_C(1) << (n))
#define HUGE_BYTES UINT64_C(0x200000)
#define ARENA_BYTES (UINT64_C(1) << 36)

const char *const fake_fault_name[FAULT_MAX_] = {
	[FAULT_NONE] = "none",           [FAULT_SILENT] = "silent",
	[FAULT_BAD_FLAGS] = "bad-flags", [FAULT_BAD_CONFIG] = "bad-config",
	[FAULT_REFUSE] = "refuse",       [FAULT_CLOSE] = "close",
	[FAULT_STALL] = "stall",         [FAULT_IOERR] = "ioerr",
	[FAULT_CORRUPT] = "corrupt",     [FAULT_LOSE_WRITE] = "lose-write",
	[FAULT_MISPLACE] = "misplace",   [FAULT_KEEP_ZEROES] = "keep-zeroes",
	[FAULT_NO_DATA] = "no-data",     [FAULT_NO_STATUS] = "no-status",
	[FAULT_BAD_ID] = "bad-id",       [FAULT_ERROR_FD] = "error-fd",
	[FAULT_BAD_BASE] = "bad-base",   [FAULT_CONFIG_CHANGE] = "config-change",
};

static const uint64_t disk_offers =
	BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER) |
	BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
	BIT(VU_F_PROTOCOL_FEATURES) | BIT(VIRTIO_BLK_F_SEG_MAX) | BIT(VIRTIO_BLK_F_SIZE_MAX) |
	BIT(VIRTIO_BLK_F_BLK_SIZE) | BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_MQ) |
	BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);
static const uint64_t protocol_offered = BIT(VU_PF_MQ) | BIT(VU_PF_REPLY_ACK) | BIT(VU_PF_CONFIG) |
					 BIT(VU_PF_BACKEND_REQ) | BIT(VU_PF_CONFIGURE_MEM_SLOTS);

uint8_t *fake_backend_map(void *ctx, uint64_t gpa, uint64_t bytes)
{
	const struct fake_backend *b = ctx;

	for (unsigned int i = 0; i < b->region_cnt; i++) {
		const struct fake_region *r = &b->region[i];

		if (gpa >= r->gpa && gpa - r->gpa < r->bytes && bytes <= r->bytes - (gpa - r->gpa))
			return r->hva + (gpa - r->gpa);
	}
	/* One piece over several regions: they are mapped back to back when they are. */
	if (b->region_cnt > 1 && gpa >= b->region[0].gpa) {
		const struct fake_region *last = &b->region[b->region_cnt - 1];

		if (gpa + bytes <= last->gpa + last->bytes &&
		    last->gpa - b->region[0].gpa == (uint64_t)(last->hva - b->region[0].hva))
			return b->region[0].hva + (gpa - b->region[0].gpa);
	}
	return NULL;
}

static uint8_t *uva_map(const struct fake_backend *b, uint64_t uva)
{
	for (unsigned int i = 0; i < b->region_cnt; i++)
		if (uva >= b->region[i].uva && uva - b->region[i].uva < b->region[i].bytes)
			return b->region[i].hva + (uva - b->region[i].uva);
	return NULL;
}

/* Where the next region goes: behind the last one, so that they are back to back. */
static uint8_t *region_place(struct fake_backend *b)
{
	if (b->region_cnt) {
		const struct fake_region *last = &b->region[b->region_cnt - 1];

		return last->hva + last->bytes;
	}
	if (!b->arena)
		b->arena = mmap(NULL, ARENA_BYTES, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return (uint8_t *)(((uintptr_t)b->arena + HUGE_BYTES - 1) & ~(HUGE_BYTES - 1));
}

static void region_add(struct fake_backend *b, const struct vu_mem_region *m, int fd)
{
	struct fake_region *r = &b->region[b->region_cnt];

	r->hva = mmap(region_place(b), m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
		      (off_t)m->fd_offset_bytes);
	if (r->hva == MAP_FAILED) {
		perror("fake_backend: mmap");
		exit(1);
	}
	(void)madvise(r->hva, m->bytes, MADV_HUGEPAGE);
	r->gpa = m->gpa;
	r->bytes = m->bytes;
	r->uva = m->uva;
	b->region_cnt++;
}

static void queue_check(struct fake_backend *b, struct fake_queue *q)
{
	bool should = q->enabled && q->kick_fd >= 0 && q->desc_uva;

	if (should && !q->running) {
		q->ring.packed = b->features >> VIRTIO_F_RING_PACKED & 1;
		q->ring.event_idx = b->features >> VIRTIO_RING_F_EVENT_IDX & 1;
		q->ring.in_order = b->features >> VIRTIO_F_IN_ORDER & 1;
		q->ring.desc = uva_map(b, q->desc_uva);
		q->ring.driver_area = uva_map(b, q->avail_uva);
		q->ring.device_area = uva_map(b, q->used_uva);
		q->ring.map = fake_backend_map;
		q->ring.map_ctx = b;
		fake_ring_start(&q->ring, q->base);
		fake_ring_disarm(&q->ring);
	}
	q->running = should;
}

static void reply(struct fake_backend *b, const struct vu_message *m, const void *payload,
		  uint32_t size)
{
	struct {
		struct vu_header header;
		uint8_t payload[VU_PAYLOAD_MAX];
	} out = {.header = {m->header.request, VU_FLAG_VERSION | VU_FLAG_REPLY, size}};

	if (b->fault == FAULT_BAD_FLAGS)
		out.header.flags |= VU_FLAG_NEED_REPLY;
	memcpy(out.payload, payload, size);
	if (channel_send(b->sock, &out, sizeof(out.header) + size, NULL, 0, FAKE_TIMEOUT_MS) < 0)
		b->end = true;
}

static void reply_u64(struct fake_backend *b, const struct vu_message *m, uint64_t value)
{
	reply(b, m, &value, sizeof(value));
}

static void reply_config(struct fake_backend *b, struct vu_message *m)
{
	struct virtio_blk_config config = {
		.capacity = b->disk_bytes / 512,
		.size_max = 1u << 20,
		.seg_max = 1024,
		.blk_size = b->block_bytes,
		.num_queues = FAKE_QUEUE_MAX,
		.max_discard_sectors = 4096,
		.max_discard_seg = 4,
		.discard_sector_alignment = 8,
		.max_write_zeroes_sectors = 2048,
		.max_write_zeroes_seg = 3,
		.write_zeroes_may_unmap = 1,
	};
	uint32_t size = m->config.size;

	memcpy(m->config.data, (uint8_t *)&config + m->config.offset, size);
	if (b->fault == FAULT_BAD_CONFIG)
		m->config.size--;
	reply(b, m, &m->config, 12 + size);
}

/* A config change that wants an answer, sent before our own answer to GET_VRING_BASE. */
static void config_change(struct fake_backend *b)
{
	struct vu_header ask = {VU_BACKEND_CONFIG_CHANGE, VU_FLAG_VERSION | VU_FLAG_NEED_REPLY, 0};
	struct vu_message m;

	if (b->fault != FAULT_CONFIG_CHANGE || b->channel < 0)
		return;
	if (channel_send(b->channel, &ask, sizeof(ask), NULL, 0, FAKE_TIMEOUT_MS) < 0 ||
	    channel_recv(b->channel, &m, FAKE_TIMEOUT_MS) < 0 || m.u64 != 0)
		fprintf(stderr, "fake_backend: config change was not answered\n");
}

static void fd_keep(int *slot, struct vu_message *m)
{
	if (*slot >= 0)
		close(*slot);
	*slot = m->fd_cnt ? m->fd[0] : -1;
	m->fd_cnt = 0;
}

static uint64_t vring_message(struct fake_backend *b, struct vu_message *m)
{
	struct fake_queue *q = &b->queue[m->state.idx % FAKE_QUEUE_MAX];
	struct vu_vring_addr addr;

	switch (m->header.request) {
	case VU_SET_VRING_NUM:
		q->ring.size = (uint16_t)m->state.value;
		break;
	case VU_SET_VRING_BASE:
		q->base = m->state.value;
		break;
	case VU_SET_VRING_ADDR:
		memcpy(&addr, m->payload, sizeof(addr));
		q->desc_uva = addr.desc_uva;
		q->used_uva = addr.used_uva;
		q->avail_uva = addr.avail_uva;
		break;
	case VU_SET_VRING_ENABLE:
		q->enabled = m->state.value;
		break;
	case VU_SET_VRING_KICK:
		fd_keep(&b->queue[m->u64 % FAKE_QUEUE_MAX].kick_fd, m);
		q = &b->queue[m->u64 % FAKE_QUEUE_MAX];
		break;
	case VU_SET_VRING_CALL:
		fd_keep(&b->queue[m->u64 % FAKE_QUEUE_MAX].call_fd, m);
		return 0;
	case VU_SET_VRING_ERR:
		fd_keep(&b->queue[m->u64 % FAKE_QUEUE_MAX].err_fd, m);
		return 0;
	default:
		return 1;
	}
	queue_check(b, q);
	return 0;
}

static void vring_base_get(struct fake_backend *b, struct vu_message *m)
{
	struct fake_queue *q = &b->queue[m->state.idx % FAKE_QUEUE_MAX];

	config_change(b);
	m->state.value = fake_ring_base(&q->ring) + (b->fault == FAULT_BAD_BASE);
	q->base = m->state.value;
	q->enabled = false;
	q->desc_uva = 0;
	queue_check(b, q);
	reply(b, m, &m->state, sizeof(m->state));
}

static uint64_t set_message(struct fake_backend *b, struct vu_message *m)
{
	struct vu_mem_table table;
	struct vu_mem_reg reg;

	switch (m->header.request) {
	case VU_SET_FEATURES:
		b->features = m->u64;
		return (m->u64 & ~b->offered) != 0;
	case VU_SET_PROTOCOL_FEATURES:
		b->protocol = m->u64;
		return 0;
	case VU_SET_OWNER:
		return 0;
	case VU_SET_BACKEND_REQ_FD:
		fd_keep(&b->channel, m);
		return 0;
	case VU_SET_MEM_TABLE:
		memcpy(&table, m->payload, sizeof(table));
		b->region_cnt = 0;
		for (unsigned int i = 0; i < table.region_cnt && i < m->fd_cnt; i++)
			region_add(b, &table.region[i], m->fd[i]);
		return b->fault == FAULT_REFUSE;
	case VU_ADD_MEM_REG:
		memcpy(&reg, m->payload, sizeof(reg));
		region_add(b, &reg.region, m->fd[0]);
		return 0;
	default:
		return vring_message(b, m);
	}
}

void fake_backend_message(struct fake_backend *b)
{
	static struct vu_message m;
	uint64_t rc;

	if (channel_recv(b->sock, &m, FAKE_TIMEOUT_MS) < 0) {
		b->end = true;
		return;
	}
	if (b->fault == FAULT_SILENT)
		return;
	switch (m.header.request) {
	case VU_GET_FEATURES:
		reply_u64(b, &m, b->offered);
		break;
	case VU_GET_PROTOCOL_FEATURES:
		reply_u64(b, &m, protocol_offered);
		break;
	case VU_GET_QUEUE_NUM:
		reply_u64(b, &m, FAKE_QUEUE_MAX);
		break;
	case VU_GET_MAX_MEM_SLOTS:
		reply_u64(b, &m, FAKE_REGION_MAX);
		break;
	case VU_GET_CONFIG:
		reply_config(b, &m);
		break;
	case VU_GET_VRING_BASE:
		vring_base_get(b, &m);
		break;
	default:
		rc = set_message(b, &m);
		if (m.header.flags & VU_FLAG_NEED_REPLY && b->protocol & BIT(VU_PF_REPLY_ACK))
			reply_u64(b, &m, rc);
	}
	vu_message_close_fds(&m);
}

/* Faults of the whole device, once their request has come. */
static void late_faults(struct fake_backend *b)
{
	uint64_t one = 1;

	if (b->faulted || b->done < b->after)
		return;
	if (b->fault == FAULT_CLOSE) {
		b->end = true;
	} else if (b->fault == FAULT_ERROR_FD && b->queue[0].err_fd >= 0) {
		b->faulted = true;
		b->queue[0].running = false;
		if (write(b->queue[0].err_fd, &one, sizeof(one)) < 0)
			perror("fake_backend: error fd");
	}
}

/* Sleeps until the socket or a kick; false when an armed ring turned out to have work. */
static bool wait_for_work(struct fake_backend *b)
{
	struct pollfd p[1 + FAKE_QUEUE_MAX] = {{.fd = b->sock, .events = POLLIN}};
	bool ready = false;
	uint64_t cnt;

	for (unsigned int i = 0; i < FAKE_QUEUE_MAX; i++) {
		struct fake_queue *q = &b->queue[i];

		p[1 + i] = (struct pollfd){.fd = q->running ? q->kick_fd : -1, .events = POLLIN};
		if (q->running)
			ready |= fake_ring_arm(&q->ring) && b->fault != FAULT_STALL;
	}
	if (poll(p, 1 + FAKE_QUEUE_MAX, ready || b->null_disk ? 0 : -1) < 0 && errno != EINTR)
		exit(1);
	for (unsigned int i = 0; i < FAKE_QUEUE_MAX; i++) {
		if (p[1 + i].revents && read(b->queue[i].kick_fd, &cnt, sizeof(cnt)) < 0 &&
		    errno != EAGAIN)
			perror("fake_backend: kick");
		if (b->queue[i].running)
			fake_ring_disarm(&b->queue[i].ring);
	}
	return p[0].revents;
}

int fake_backend_init(struct fake_backend *b, int sock)
{
	b->sock = sock;
	b->channel = -1;
	if (!b->offered)
		b->offered = disk_offers;
	if (!b->disk_bytes)
		b->disk_bytes = UINT64_C(64) << 20;
	if (!b->block_bytes)
		b->block_bytes = 512;
	for (unsigned int i = 0; i < FAKE_QUEUE_MAX; i++)
		b->queue[i].kick_fd = b->queue[i].call_fd = b->queue[i].err_fd = -1;
	b->disk = mmap(NULL, b->disk_bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return b->disk == MAP_FAILED ? -errno : 0;
}

void fake_backend_fini(struct fake_backend *b)
{
	for (unsigned int i = 0; i < FAKE_QUEUE_MAX; i++) {
		const int fd[] = {b->queue[i].kick_fd, b->queue[i].call_fd, b->queue[i].err_fd};

		for (unsigned int k = 0; k < 3; k++)
			if (fd[k] >= 0)
				close(fd[k]);
	}
	if (b->channel >= 0)
		close(b->channel);
	close(b->sock);
	if (b->arena)
		munmap(b->arena, ARENA_BYTES);
	munmap(b->disk, b->disk_bytes);
}

void fake_backend_serve(struct fake_backend *b)
{
	unsigned int idle = 0;

	while (!b->end) {
		bool worked = false;

		for (unsigned int i = 0; i < FAKE_QUEUE_MAX; i++)
			if (b->queue[i].running)
				worked |= fake_disk_turn(b, &b->queue[i]);
		late_faults(b);
		idle = worked ? 0 : idle + 1;
		if (b->null_disk && idle % 10000 != 9999)
			continue;
		if (!worked && !b->end && wait_for_work(b))
			fake_backend_message(b);
	}
}
