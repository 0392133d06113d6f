/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --probe: what a back end offers, with names.
 */
#include <linux/virtio_ring.h>

#include "report.h"

static const char *const name[64] = {
	[VIRTIO_BLK_F_SIZE_MAX] = "SIZE_MAX",
	[VIRTIO_BLK_F_SEG_MAX] = "SEG_MAX",
	[VIRTIO_BLK_F_GEOMETRY] = "GEOMETRY",
	[VIRTIO_BLK_F_RO] = "RO",
	[VIRTIO_BLK_F_BLK_SIZE] = "BLK_SIZE",
	[VIRTIO_BLK_F_FLUSH] = "FLUSH",
	[VIRTIO_BLK_F_TOPOLOGY] = "TOPOLOGY",
	[VIRTIO_BLK_F_CONFIG_WCE] = "CONFIG_WCE",
	[VIRTIO_BLK_F_MQ] = "MQ",
	[VIRTIO_BLK_F_DISCARD] = "DISCARD",
	[VIRTIO_BLK_F_WRITE_ZEROES] = "WRITE_ZEROES",
	[15] = "LIFETIME",
	[VIRTIO_BLK_F_SECURE_ERASE] = "SECURE_ERASE",
	[17] = "ZONED",
	[VIRTIO_F_NOTIFY_ON_EMPTY] = "NOTIFY_ON_EMPTY",
	[VU_F_LOG_ALL] = "LOG_ALL",
	[VIRTIO_F_ANY_LAYOUT] = "ANY_LAYOUT",
	[VIRTIO_RING_F_INDIRECT_DESC] = "INDIRECT_DESC",
	[VIRTIO_RING_F_EVENT_IDX] = "EVENT_IDX",
	[VU_F_PROTOCOL_FEATURES] = "PROTOCOL_FEATURES",
	[VIRTIO_F_VERSION_1] = "VERSION_1",
	[VIRTIO_F_ACCESS_PLATFORM] = "ACCESS_PLATFORM",
	[VIRTIO_F_RING_PACKED] = "RING_PACKED",
	[VIRTIO_F_IN_ORDER] = "IN_ORDER",
	[VIRTIO_F_ORDER_PLATFORM] = "ORDER_PLATFORM",
	[38] = "NOTIFICATION_DATA",
	[VIRTIO_F_RING_RESET] = "RING_RESET",
};

static const char *const protocol_name[64] = {
	[VU_PF_MQ] = "MQ",
	[VU_PF_LOG_SHMFD] = "LOG_SHMFD",
	[VU_PF_RARP] = "RARP",
	[VU_PF_REPLY_ACK] = "REPLY_ACK",
	[VU_PF_MTU] = "MTU",
	[VU_PF_BACKEND_REQ] = "BACKEND_REQ",
	[VU_PF_CROSS_ENDIAN] = "CROSS_ENDIAN",
	[VU_PF_CRYPTO_SESSION] = "CRYPTO_SESSION",
	[VU_PF_PAGEFAULT] = "PAGEFAULT",
	[VU_PF_CONFIG] = "CONFIG",
	[VU_PF_BACKEND_SEND_FD] = "BACKEND_SEND_FD",
	[VU_PF_HOST_NOTIFIER] = "HOST_NOTIFIER",
	[VU_PF_INFLIGHT_SHMFD] = "INFLIGHT_SHMFD",
	[VU_PF_RESET_DEVICE] = "RESET_DEVICE",
	[VU_PF_INBAND_NOTIFICATIONS] = "INBAND_NOTIFICATIONS",
	[VU_PF_CONFIGURE_MEM_SLOTS] = "CONFIGURE_MEM_SLOTS",
	[VU_PF_STATUS] = "STATUS",
	[VU_PF_XEN_MMAP] = "XEN_MMAP",
	[VU_PF_SHARED_OBJECT] = "SHARED_OBJECT",
	[VU_PF_DEVICE_STATE] = "DEVICE_STATE",
	[VU_PF_GET_VRING_BASE_SKIP_DRAIN] = "GET_VRING_BASE_SKIP_DRAIN",
};

const char *feature_name(unsigned int bit)
{
	return bit < 64 ? name[bit] : NULL;
}

const char *protocol_feature_name(unsigned int bit)
{
	return bit < 64 ? protocol_name[bit] : NULL;
}

/* One bit after the other; format says how: a blank-separated list or JSON strings. */
static void names_print(FILE *out, uint64_t bits, const char *(*name_of)(unsigned int), bool json)
{
	bool first = true;

	for (unsigned int bit = 0; bit < 64; bit++) {
		const char *text = name_of(bit);

		if (!(bits >> bit & 1))
			continue;
		if (!first || !json)
			fputs(json ? ", " : " ", out);
		first = false;
		if (text)
			fprintf(out, json ? "\"%s\"" : "%s", text);
		else
			fprintf(out, json ? "\"bit %u\"" : "bit-%u", bit);
	}
}

void report_probe_table(FILE *out, const struct session *s)
{
	const struct front *f = s->front;
	const struct blk_config *c = &s->config;

	fprintf(out, "features           0x%016llx", (unsigned long long)f->features_offered);
	names_print(out, f->features_offered, feature_name, false);
	fprintf(out, "\nprotocol features  0x%016llx", (unsigned long long)f->protocol_offered);
	names_print(out, f->protocol_offered, protocol_feature_name, false);
	fprintf(out, "\nqueues             %llu (config space: %u)\nmemory slots       %llu\n",
		(unsigned long long)f->queue_max, c->queue_cnt,
		(unsigned long long)f->mem_slots_max);
	fprintf(out, "capacity           %llu bytes, blocks of %u\n",
		(unsigned long long)c->capacity_sectors * BLK_SECTOR_BYTES, c->block_bytes);
	fprintf(out, "segments           at most %u of at most %u bytes\n", c->seg_max,
		c->size_max_bytes);
	fprintf(out, "geometry           %u cylinders, %u heads, %u sectors\n", c->cylinders,
		c->heads, c->sectors);
	fprintf(out, "topology           2^%u blocks physical, offset %u, I/O of %u to %u blocks\n",
		c->physical_block_exp, c->alignment_offset, c->min_io_blocks, c->opt_io_blocks);
	fprintf(out, "write back         %u\n", c->writeback);
	fprintf(out, "discard            %u sectors, %u segments, aligned to %u\n",
		c->discard_max_sectors, c->discard_max_seg, c->discard_align_sectors);
	fprintf(out, "write zeroes       %u sectors, %u segments%s\n", c->zeroes_max_sectors,
		c->zeroes_max_seg, c->zeroes_may_unmap ? ", may unmap" : "");
	fprintf(out, "server             pid %d\n", (int)s->server_pid);
}

void report_probe_json(FILE *out, const struct session *s)
{
	const struct front *f = s->front;
	const struct blk_config *c = &s->config;

	fprintf(out, "{\n  \"features\": {\"bits\": \"0x%llx\", \"names\": [",
		(unsigned long long)f->features_offered);
	names_print(out, f->features_offered, feature_name, true);
	fprintf(out, "]},\n  \"protocol_features\": {\"bits\": \"0x%llx\", \"names\": [",
		(unsigned long long)f->protocol_offered);
	names_print(out, f->protocol_offered, protocol_feature_name, true);
	fprintf(out, "]},\n  \"queues\": %llu, \"mem_slots\": %llu, \"server_pid\": %d,\n",
		(unsigned long long)f->queue_max, (unsigned long long)f->mem_slots_max,
		(int)s->server_pid);
	fprintf(out,
		"  \"config\": {\"capacity_sectors\": %llu, \"size_max\": %u, \"seg_max\": %u, "
		"\"blk_size\": %u,\n    \"cylinders\": %u, \"heads\": %u, \"sectors\": %u, "
		"\"physical_block_exp\": %u, \"alignment_offset\": %u,\n    \"min_io_size\": %u, "
		"\"opt_io_size\": %u, \"writeback\": %u, \"num_queues\": %u,\n",
		(unsigned long long)c->capacity_sectors, c->size_max_bytes, c->seg_max,
		c->block_bytes, c->cylinders, c->heads, c->sectors, c->physical_block_exp,
		c->alignment_offset, c->min_io_blocks, c->opt_io_blocks, c->writeback,
		c->queue_cnt);
	fprintf(out,
		"    \"max_discard_sectors\": %u, \"max_discard_seg\": %u, "
		"\"discard_sector_alignment\": %u,\n    \"max_write_zeroes_sectors\": %u, "
		"\"max_write_zeroes_seg\": %u, \"write_zeroes_may_unmap\": %u}\n}\n",
		c->discard_max_sectors, c->discard_max_seg, c->discard_align_sectors,
		c->zeroes_max_sectors, c->zeroes_max_seg, c->zeroes_may_unmap);
}
