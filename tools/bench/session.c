/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connects, negotiates, holds the options against what the device is, and makes memory and queues.
 */
#include "session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "random.h"

#define VERIFY_BYTES_DEFAULT (UINT64_C(1) << 30)
#define RING_SIZE_DEFAULT 256u
#define DISCARD_BYTES_MIN 4096u /* room for segments of discard and write-zeroes */

#define BIT(n) (UINT64_C(1) << (n))

static const uint64_t protocol_wanted = BIT(VU_PF_MQ) | BIT(VU_PF_REPLY_ACK) | BIT(VU_PF_CONFIG) |
					BIT(VU_PF_BACKEND_REQ) | BIT(VU_PF_CONFIGURE_MEM_SLOTS);
static const uint64_t blk_wanted =
	BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_BLK_F_SIZE_MAX) | BIT(VIRTIO_BLK_F_SEG_MAX) |
	BIT(VIRTIO_BLK_F_GEOMETRY) | BIT(VIRTIO_BLK_F_RO) | BIT(VIRTIO_BLK_F_BLK_SIZE) |
	BIT(VIRTIO_BLK_F_FLUSH) | BIT(VIRTIO_BLK_F_TOPOLOGY) | BIT(VIRTIO_BLK_F_CONFIG_WCE) |
	BIT(VIRTIO_BLK_F_MQ) | BIT(VIRTIO_BLK_F_DISCARD) | BIT(VIRTIO_BLK_F_WRITE_ZEROES);

int session_fail(struct session *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->error, sizeof(s->error), fmt, ap);
	va_end(ap);
	return BENCH_FAILED;
}

static int front_failed(struct session *s)
{
	return session_fail(s, "%s", s->front ? s->front->error : "out of memory");
}

int session_connect(struct session *s, const struct bench_opts *opts)
{
	struct front_opts front_opts = {.path = opts->socket,
					.listen = opts->listen,
					.wait_ms = (int)(opts->wait_s * 1000),
					.timeout_ms = (int)(opts->timeout_s * 1000)};

	memset(s, 0, sizeof(*s));
	s->opts = opts;
	if (front_open(&s->front, &front_opts) < 0)
		return front_failed(s);
	s->server_pid = opts->server_pid ? opts->server_pid : front_peer_pid(s->front);
	if (front_negotiate(s->front, protocol_wanted) < 0)
		return front_failed(s);
	if (!front_has_protocol(s->front, VU_PF_CONFIG))
		return session_fail(s,
				    "the back end does not offer protocol feature CONFIG, without "
				    "which a disk's size cannot be known");
	if (blk_config_get(s->front, &s->config) < 0)
		return front_failed(s);
	return BENCH_OK;
}

static int features_choose(struct session *s, uint64_t *features)
{
	const struct bench_opts *o = s->opts;
	uint64_t offered = s->front->features_offered;

	if (!(offered & BIT(VIRTIO_F_VERSION_1)))
		return session_fail(s, "the back end does not offer VERSION_1 (features 0x%llx)",
				    (unsigned long long)offered);
	if (o->format == RING_PACKED && !(offered & BIT(VIRTIO_F_RING_PACKED)))
		return session_fail(s,
				    "--ring packed: the back end does not offer RING_PACKED "
				    "(features 0x%llx)",
				    (unsigned long long)offered);
	if (o->in_order && !(offered & BIT(VIRTIO_F_IN_ORDER)))
		return session_fail(s,
				    "--in-order: the back end does not offer IN_ORDER "
				    "(features 0x%llx)",
				    (unsigned long long)offered);
	*features = offered & blk_wanted;
	if (o->format == RING_PACKED)
		*features |= BIT(VIRTIO_F_RING_PACKED);
	if (o->in_order)
		*features |= BIT(VIRTIO_F_IN_ORDER);
	if (!o->no_event_idx)
		*features |= offered & BIT(VIRTIO_RING_F_EVENT_IDX);
	if (!o->no_indirect)
		*features |= offered & BIT(VIRTIO_RING_F_INDIRECT_DESC);
	s->indirect = *features & BIT(VIRTIO_RING_F_INDIRECT_DESC);
	return BENCH_OK;
}

static bool rw_writes(enum bench_rw rw)
{
	return rw != RW_READ && rw != RW_RANDREAD;
}

/* The part of the disk that is used, and whether requests fit it. */
static int extent_choose(struct session *s)
{
	const struct bench_opts *o = s->opts;
	uint64_t disk_bytes = s->config.capacity_sectors * BLK_SECTOR_BYTES;
	uint64_t bytes = o->size_bytes;
	bool sequential = o->rw == RW_READ || o->rw == RW_WRITE || o->rw == RW_TRIM;

	s->align_sectors = s->config.block_bytes / BLK_SECTOR_BYTES;
	if (s->align_sectors == 0 || s->align_sectors * BLK_SECTOR_BYTES != s->config.block_bytes)
		return session_fail(s, "the disk's block size of %u is no multiple of 512",
				    s->config.block_bytes);
	if (o->bs_min_bytes % s->config.block_bytes || o->bs_max_bytes % s->config.block_bytes)
		return options_reject("--bs", "%u to %u given, the disk takes multiples of %u",
				      o->bs_min_bytes, o->bs_max_bytes, s->config.block_bytes);
	if (o->offset_bytes % s->config.block_bytes)
		return options_reject("--offset", "%llu given, the disk takes multiples of %u",
				      (unsigned long long)o->offset_bytes, s->config.block_bytes);
	if (o->offset_bytes >= disk_bytes)
		return options_reject("--offset", "%llu given, the disk has %llu bytes",
				      (unsigned long long)o->offset_bytes,
				      (unsigned long long)disk_bytes);
	if (bytes == 0) {
		bytes = disk_bytes - o->offset_bytes;
		if (o->rw == RW_VERIFY && bytes > VERIFY_BYTES_DEFAULT)
			bytes = VERIFY_BYTES_DEFAULT;
	}
	if (bytes > disk_bytes - o->offset_bytes)
		return options_reject("--size",
				      "%llu from offset %llu given, the disk has %llu "
				      "bytes",
				      (unsigned long long)bytes,
				      (unsigned long long)o->offset_bytes,
				      (unsigned long long)disk_bytes);
	bytes -= bytes % s->config.block_bytes;
	/* Each queue of a sequential run has a slice of its own. */
	if (bytes / (sequential ? o->queues : 1) < o->bs_max_bytes)
		return options_reject("--bs",
				      "%u given, %u queues over %llu bytes leave less for "
				      "each",
				      o->bs_max_bytes, o->queues, (unsigned long long)bytes);
	s->first_sector = o->offset_bytes / BLK_SECTOR_BYTES;
	s->sector_cnt = bytes / BLK_SECTOR_BYTES;
	return BENCH_OK;
}

static int device_check(struct session *s)
{
	const struct bench_opts *o = s->opts;
	struct front *f = s->front;
	uint64_t queue_max = f->queue_max;

	if (front_has(f, VIRTIO_BLK_F_MQ) && s->config.queue_cnt < queue_max)
		queue_max = s->config.queue_cnt;
	if (!front_has(f, VIRTIO_BLK_F_MQ))
		queue_max = 1;
	if (o->queues > queue_max)
		return options_reject("--queues", "%u given, the back end has %llu", o->queues,
				      (unsigned long long)queue_max);
	if (rw_writes(o->rw) && front_has(f, VIRTIO_BLK_F_RO))
		return options_reject("--rw", "%s given, the disk is read-only",
				      bench_rw_name[o->rw]);
	if (o->rw == RW_TRIM && !front_has(f, VIRTIO_BLK_F_DISCARD))
		return options_reject("--rw", "trim given, the disk offers no DISCARD");
	if (o->rw == RW_TRIM && o->bs_max_bytes / BLK_SECTOR_BYTES > s->config.discard_max_sectors)
		return options_reject("--bs",
				      "%u given, the disk discards at most %u sectors at once",
				      o->bs_max_bytes, s->config.discard_max_sectors);
	return extent_choose(s);
}

static uint16_t power_of_two_from(uint32_t value)
{
	uint32_t size = 1;

	while (size < value)
		size *= 2;
	return (uint16_t)size;
}

/* How chains and rings look, from iodepth and the device's limits on segments. */
static int rings_choose(struct session *s)
{
	const struct bench_opts *o = s->opts;
	uint32_t longest = o->segment_bytes ? o->segment_bytes : o->bs_max_bytes;
	uint32_t seg_cnt, desc_cnt, needed;

	if (longest > s->config.size_max_bytes)
		longest = s->config.size_max_bytes;
	seg_cnt = (o->bs_max_bytes + longest - 1) / longest;
	if (seg_cnt > s->config.seg_max)
		return options_reject("--bs",
				      "%u given in segments of %u, the disk takes %u segments",
				      o->bs_max_bytes, longest, s->config.seg_max);
	s->blk_opts = (struct blk_queue_opts){
		.slot_cnt = (uint16_t)o->iodepth,
		.data_bytes = o->bs_max_bytes > DISCARD_BYTES_MIN ? o->bs_max_bytes
								  : DISCARD_BYTES_MIN,
		.segment_bytes = longest,
		.indirect = s->indirect,
	};
	if (o->rw != RW_VERIFY && o->rw != RW_TRIM)
		s->blk_opts.data_bytes = o->bs_max_bytes;
	desc_cnt = blk_desc_cnt(&s->blk_opts);
	/* A chain may not be longer than the ring, be it in a table. */
	needed = s->indirect && seg_cnt + 2 > o->iodepth ? seg_cnt + 2 : desc_cnt * o->iodepth;
	if (needed > RING_SIZE_MAX)
		return options_reject("--iodepth",
				      "%u requests of %u descriptors given, the largest "
				      "ring has %u",
				      o->iodepth, desc_cnt, RING_SIZE_MAX);
	if (o->ring_size && o->ring_size < needed)
		return options_reject("--ring-size", "%u given, %u requests in flight need %u",
				      o->ring_size, o->iodepth, needed);
	s->ring_opts = (struct ring_opts){
		.format = o->format,
		.size = (uint16_t)o->ring_size,
		.event_idx = front_has(s->front, VIRTIO_RING_F_EVENT_IDX),
		.in_order = o->in_order,
		.tables_only = s->indirect,
	};
	if (o->ring_size == 0)
		s->ring_opts.size = needed > RING_SIZE_DEFAULT ? power_of_two_from(needed)
							       : RING_SIZE_DEFAULT;
	return BENCH_OK;
}

static int memory_make(struct session *s)
{
	const struct bench_opts *o = s->opts;
	struct shm_opts shm_opts = {.region_cnt = o->regions, .no_cross = !o->cross_regions};
	uint64_t ring_bytes = ring_shm_bytes(&s->ring_opts);
	uint64_t longest = s->blk_opts.data_bytes > ring_bytes ? s->blk_opts.data_bytes
							       : ring_bytes;
	struct sysinfo info;
	int rc;

	/* At the end of each region there may be no room for the longest piece. */
	shm_opts.bytes = o->queues * (ring_bytes + blk_queue_shm_bytes(&s->blk_opts)) +
			 o->regions * (longest + 4096);
	if (sysinfo(&info) == 0 && shm_opts.bytes > (uint64_t)info.totalram * info.mem_unit / 4 * 3)
		return options_reject("--iodepth",
				      "%u queues of %u requests of %u bytes given, that "
				      "is %llu MiB of buffers: too much for this machine",
				      o->queues, o->iodepth, o->bs_max_bytes,
				      (unsigned long long)(shm_opts.bytes >> 20));
	rc = shm_new(&s->shm, &shm_opts);
	if (rc < 0)
		return session_fail(s, "cannot make %llu MiB of guest memory: %s",
				    (unsigned long long)(shm_opts.bytes >> 20), strerror(-rc));
	return BENCH_OK;
}

/* Data that no back end can shrink, and pages that are there before the clock runs. */
static void data_fill(struct session *s, struct random *rng)
{
	for (unsigned int q = 0; q < s->queue_cnt; q++)
		for (unsigned int i = 0; i < s->bq[q]->slot_cnt; i++) {
			uint64_t *word = (uint64_t *)(void *)s->bq[q]->slot[i].data;

			for (uint32_t w = 0; w < s->blk_opts.data_bytes / 8; w++)
				word[w] = random_next(rng);
		}
}

static int queues_make(struct session *s)
{
	const struct bench_opts *o = s->opts;
	struct random rng = {o->seed};

	for (unsigned int q = 0; q < o->queues; q++) {
		if (front_queue_new(&s->fq[q], s->front, s->shm, (uint16_t)q, &s->ring_opts) < 0)
			return front_failed(s);
		s->queue_cnt = q + 1;
		if (blk_queue_new(&s->bq[q], s->fq[q], s->shm, &s->blk_opts) < 0)
			return front_failed(s);
	}
	data_fill(s, &rng);
	for (unsigned int q = 0; q < o->queues; q++)
		if (front_queue_start(s->fq[q]) < 0)
			return front_failed(s);
	return BENCH_OK;
}

int session_start(struct session *s)
{
	uint64_t features = 0;
	int rc = features_choose(s, &features);

	if (rc == BENCH_OK && front_set_features(s->front, features) < 0)
		rc = front_failed(s);
	/* Again: fields count only for features in force. */
	if (rc == BENCH_OK && blk_config_get(s->front, &s->config) < 0)
		rc = front_failed(s);
	if (rc == BENCH_OK)
		rc = device_check(s);
	if (rc == BENCH_OK)
		rc = rings_choose(s);
	if (rc == BENCH_OK)
		rc = memory_make(s);
	if (rc == BENCH_OK && front_share_mem(s->front, s->shm) < 0)
		rc = front_failed(s);
	return rc == BENCH_OK ? queues_make(s) : rc;
}

int session_stop(struct session *s)
{
	for (unsigned int q = 0; q < s->queue_cnt; q++) {
		uint32_t base, expected = ring_base(s->fq[q]->ring);

		if (front_queue_stop(s->fq[q], &base) < 0)
			return front_failed(s);
		if (base != expected)
			return session_fail(s,
					    "queue %u: GET_VRING_BASE answers 0x%x after all "
					    "requests up to 0x%x are used",
					    q, base, expected);
	}
	return BENCH_OK;
}

void session_close(struct session *s)
{
	for (unsigned int q = 0; q < s->queue_cnt; q++) {
		blk_queue_free(s->bq[q]);
		front_queue_free(s->fq[q]);
	}
	front_close(s->front);
	shm_free(s->shm);
}
