/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the driver is told of the disk: feature bits and config space.
 * Not requests. Control thread only.
 *
 * The write cache (VIRTIO 1.3, 5.2.5 and 5.2.6.2): with CONFIG_WCE the driver sets the mode in
 * config.writeback; with FLUSH alone it takes the cache for write-back and flushes; with neither it
 * takes every completed write for durable. The last and writeback = 0 are write-through here:
 * io.c follows each write by a flush of the storage, if that has a volatile cache at all.
 */
#include "device/blk/blk_priv.h"

#include <errno.h>
#include <string.h>

/* Heads and sectors of a drive beyond CHS, as every BIOS of the last decades reports them. */
#define GEOMETRY_SECTORS 63u
#define GEOMETRY_HEADS 16u
#define GEOMETRY_HEADS_LARGE 255u

#define WRITEBACK_OFFSET ((uint32_t)offsetof(struct blk_config, writeback))

uint64_t blk_features_offered(const struct blk_options *options, const struct storage_info *info)
{
	uint64_t features = 1ull << BLK_F_SIZE_MAX | 1ull << BLK_F_SEG_MAX |
			    1ull << BLK_F_GEOMETRY | 1ull << BLK_F_BLK_SIZE | 1ull << BLK_F_FLUSH |
			    1ull << BLK_F_TOPOLOGY | 1ull << BLK_F_CONFIG_WCE;

	if (options->queues > 1)
		features |= 1ull << BLK_F_MQ;
	if (info->read_only)
		features |= 1ull << BLK_F_RO;
	else if (options->discard)
		features |= 1ull << BLK_F_DISCARD | 1ull << BLK_F_WRITE_ZEROES;
	return features;
}

const char *blk_feature_name(unsigned bit)
{
	static const char *const names[] = {
		[BLK_F_SIZE_MAX] = "SIZE_MAX",
		[BLK_F_SEG_MAX] = "SEG_MAX",
		[BLK_F_GEOMETRY] = "GEOMETRY",
		[BLK_F_RO] = "RO",
		[BLK_F_BLK_SIZE] = "BLK_SIZE",
		[BLK_F_FLUSH] = "FLUSH",
		[BLK_F_TOPOLOGY] = "TOPOLOGY",
		[BLK_F_CONFIG_WCE] = "CONFIG_WCE",
		[BLK_F_MQ] = "MQ",
		[BLK_F_DISCARD] = "DISCARD",
		[BLK_F_WRITE_ZEROES] = "WRITE_ZEROES",
	};

	return bit < ARRAY_LEN(names) ? names[bit] : NULL;
}

/* Does the driver take a completed write for durable? */
static bool driver_wants_writethrough(const struct blk_device *blk)
{
	if (device_has_feature(blk->device.acked, BLK_F_CONFIG_WCE))
		return !blk->writeback;
	return !device_has_feature(blk->device.acked, BLK_F_FLUSH);
}

static void cache_mode_changed(struct blk_device *blk)
{
	store_relaxed(&blk->writethrough,
		      driver_wants_writethrough(blk) && blk->info->volatile_cache);
}

void blk_features_acked(struct device *device)
{
	struct blk_device *blk = blk_of_device(device);
	uint64_t acked = device->acked;

	blk->rules.discard = device_has_feature(acked, BLK_F_DISCARD);
	blk->rules.write_zeroes = device_has_feature(acked, BLK_F_WRITE_ZEROES);
	if (!acked)
		blk->writeback = blk->info->volatile_cache;
	/* 5.2.5.2: a driver that cannot flush must not find a write-back cache. */
	if (device_has_feature(acked, BLK_F_CONFIG_WCE) && !device_has_feature(acked, BLK_F_FLUSH))
		blk->writeback = false;
	cache_mode_changed(blk);
}

static uint16_t clamp_u16(uint64_t v)
{
	return v > UINT16_MAX ? UINT16_MAX : (uint16_t)v;
}

static unsigned log2_of(uint32_t v)
{
	return v ? 31u - (unsigned)__builtin_clz(v) : 0;
}

static void fill_geometry(struct blk_config *config, uint64_t sectors)
{
	uint64_t heads = GEOMETRY_HEADS;
	uint64_t cylinders = sectors / (heads * GEOMETRY_SECTORS);

	if (cylinders > UINT16_MAX) {
		heads = GEOMETRY_HEADS_LARGE;
		cylinders = sectors / (heads * GEOMETRY_SECTORS);
	}
	config->cylinders = le16_of(clamp_u16(cylinders));
	config->heads = (uint8_t)heads;
	config->sectors = GEOMETRY_SECTORS;
}

static void fill_topology(struct blk_config *config, const struct storage_info *info)
{
	uint32_t block = info->block_bytes;

	config->blk_size = le32_of(block);
	if (info->physical_block_bytes > block)
		config->physical_block_exp = (uint8_t)log2_of(info->physical_block_bytes / block);
	config->min_io_size = le16_of(clamp_u16(info->io_min_bytes / block));
	config->opt_io_size = le32_of(info->io_opt_bytes / block);
}

static void fill_discard(struct blk_config *config, const struct storage_info *info)
{
	uint32_t granularity = info->discard_granularity_bytes;

	if (granularity < info->block_bytes)
		granularity = info->block_bytes;
	config->max_discard_sectors = le32_of(BLK_DISCARD_SECTORS_MAX);
	config->max_discard_seg = le32_of(BLK_SEGMENTS_MAX);
	config->discard_sector_alignment = le32_of(granularity >> BLK_SECTOR_SHIFT);
	config->max_write_zeroes_sectors = le32_of(BLK_WRITE_ZEROES_SECTORS_MAX);
	config->max_write_zeroes_seg = le32_of(BLK_SEGMENTS_MAX);
	config->write_zeroes_may_unmap = info->can_discard;
}

unsigned blk_config_fill(const struct device *device, void *data)
{
	const struct blk_device *blk = blk_of_const_device(device);
	const struct storage_info *info = blk->info;
	uint64_t sectors = load_relaxed(&info->capacity_bytes) >> BLK_SECTOR_SHIFT;
	struct blk_config config = {
		.capacity = le64_of(sectors),
		.size_max = le32_of(BLK_SIZE_MAX_BYTES),
		.seg_max = le32_of(blk->seg_max),
		.num_queues = le16_of((uint16_t)device->queue_max),
	};

	/* Before the driver chose, and where it chooses by writing: what was written or the
	 * default. */
	config.writeback = !device->acked || device_has_feature(device->acked, BLK_F_CONFIG_WCE)
				   ? blk->writeback
				   : !driver_wants_writethrough(blk);
	fill_geometry(&config, sectors);
	fill_topology(&config, info);
	if (device_has_feature(device->offered, BLK_F_DISCARD))
		fill_discard(&config, info);
	memcpy(data, &config, sizeof(config));
	return sizeof(config);
}

int blk_config_write(struct device *device, uint32_t offset, uint32_t size, const void *data,
		     struct err *err)
{
	struct blk_device *blk = blk_of_device(device);
	uint8_t value;

	if (!size)
		return 0;
	if (offset != WRITEBACK_OFFSET || size != 1)
		return err_set(err, EPERM,
			       "config space: bytes %u to %u are not writable, only writeback (%u)",
			       offset, offset + size - 1, WRITEBACK_OFFSET);
	/* A front end may pass the write on before the features: it knows them earlier. */
	if (device->acked && !device_has_feature(device->acked, BLK_F_CONFIG_WCE))
		return err_set(err, EPERM, "config space: writeback without CONFIG_WCE");
	memcpy(&value, data, sizeof(value));
	if (value > 1)
		return err_set(err, EINVAL, "config space: writeback %u is neither 0 nor 1", value);
	blk->writeback = value;
	cache_mode_changed(blk);
	return 0;
}
