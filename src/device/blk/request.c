/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a parsed chain to a judged block request: framing, type, range, flags.
 * Not I/O: nothing is submitted or completed here, and nothing but the chain is looked at.
 *
 * Any framing is taken (VIRTIO 1.3, 2.7.4): the header is the first 16 readable bytes however they
 * are cut, the status is the last writable byte, and what is left is data. Nearly every driver
 * sends header and status as descriptors of their own, so that form is looked for first.
 */
#include "device/blk/blk_priv.h"

#include <stddef.h>

#include "base/overflow.h"
#include "guest/iov.h"

/* What is left of a chain once header and status are known. */
struct data_part {
	struct iovec *out;
	struct iovec *in;
	unsigned out_cnt;
	unsigned in_cnt;
	uint64_t out_bytes;
	uint64_t in_bytes;
};

static const struct {
	uint8_t status;
	size_t counter; /* offset in struct blk_stats, plus one; 0: none */
} verdict_rows[] = {
	[BLK_SUBMIT] = {BLK_S_OK, 0},
	[BLK_GOT_ID] = {BLK_S_OK, 0},
	[BLK_NOTHING] = {BLK_S_OK, 0},
	[BLK_BAD_CHAIN] = {BLK_S_IOERR, 0},
	[BLK_BAD_RANGE] = {BLK_S_IOERR, offsetof(struct blk_stats, bad_range) + 1},
	[BLK_BAD_LENGTH] = {BLK_S_IOERR, offsetof(struct blk_stats, bad_length) + 1},
	[BLK_BAD_FRAMING] = {BLK_S_IOERR, offsetof(struct blk_stats, bad_framing) + 1},
	[BLK_BAD_FLAGS] = {BLK_S_UNSUPP, offsetof(struct blk_stats, bad_flags) + 1},
	[BLK_READ_ONLY] = {BLK_S_IOERR, offsetof(struct blk_stats, read_only) + 1},
	[BLK_UNSUPPORTED] = {BLK_S_UNSUPP, offsetof(struct blk_stats, unsupported) + 1},
	[BLK_TOO_MANY_SEGMENTS] = {BLK_S_IOERR, offsetof(struct blk_stats, too_many_segments) + 1},
};
static_assert(ARRAY_LEN(verdict_rows) == BLK_VERDICT_MAX_, "one row a verdict");

uint8_t blk_verdict_status(enum blk_verdict verdict)
{
	return verdict_rows[verdict].status;
}

uint64_t *blk_verdict_counter(struct blk_stats *stats, enum blk_verdict verdict)
{
	size_t counter = verdict_rows[verdict].counter;

	return counter ? (uint64_t *)(void *)((char *)stats + (counter - 1)) : NULL;
}

/* The last byte of a writable entry. */
static uint8_t GUEST *last_byte(const struct iovec *entry)
{
	return gptr_from_hva(uint8_t, (uint8_t *)entry->iov_base + (entry->iov_len - 1));
}

/* Header and status each in an entry of its own. */
static ALWAYS_INLINE bool frame_usual(struct blk_request *req, struct blk_header *header,
				      struct data_part *data)
{
	struct vq_slot *slot = &req->slot;
	struct iovec *status;

	if (!slot->out_cnt || !slot->in_cnt || slot->iov[0].iov_len != sizeof(*header))
		return false;
	status = &slot->iov[slot->out_cnt + slot->in_cnt - 1u];
	if (status->iov_len != 1)
		return false;
	gptr_copy_in(header, gptr_from_hva(void, slot->iov[0].iov_base), sizeof(*header));
	req->status = last_byte(status);
	data->out = slot->iov + 1;
	data->out_cnt = slot->out_cnt - 1u;
	data->out_bytes = slot->out_bytes - sizeof(*header);
	data->in = slot->iov + slot->out_cnt;
	data->in_cnt = slot->in_cnt - 1u;
	data->in_bytes = slot->in_bytes - 1;
	return true;
}

/* Any framing; false when there is no header. */
static NOINLINE bool frame_any(struct blk_request *req, struct blk_header *header,
			       struct data_part *data)
{
	struct vq_slot *slot = &req->slot;
	struct iov_cursor cursor;

	data->out = slot->iov;
	data->out_cnt = slot->out_cnt;
	data->out_bytes = 0;
	data->in = slot->iov + slot->out_cnt;
	data->in_cnt = slot->in_cnt;
	data->in_bytes = 0;
	if (slot->in_bytes) {
		req->status = last_byte(&data->in[data->in_cnt - 1]);
		iov_cut_back(data->in, &data->in_cnt, 1);
		data->in_bytes = slot->in_bytes - 1;
	}
	iov_cursor_init(&cursor, data->out, data->out_cnt);
	if (!req->status || iov_copy_in(&cursor, header, sizeof(*header)) != sizeof(*header))
		return false;
	iov_cut_front(&data->out, &data->out_cnt, sizeof(*header));
	data->out_bytes = slot->out_bytes - sizeof(*header);
	return true;
}

static ALWAYS_INLINE enum blk_verdict judge_io(struct blk_request *req, enum storage_kind kind,
					       struct iovec *iov, unsigned iov_cnt, uint64_t bytes,
					       uint64_t sector, uint64_t capacity_sectors)
{
	struct storage_op *op = &req->op;

	if (unlikely(!bytes || bytes % BLK_SECTOR_BYTES || bytes > BLK_DATA_BYTES_MAX))
		return BLK_BAD_LENGTH;
	if (unlikely(!range_within(sector, bytes >> BLK_SECTOR_SHIFT, capacity_sectors)))
		return BLK_BAD_RANGE;
	op->kind = kind;
	op->may_unmap = false;
	op->iov_cnt = iov_cnt;
	op->offset_bytes = sector << BLK_SECTOR_SHIFT;
	op->len_bytes = bytes;
	op->iov = iov;
	return BLK_SUBMIT;
}

/* Without an iovec: FLUSH and one segment of DISCARD or WRITE_ZEROES. */
static void fill_plain(struct storage_op *op, enum storage_kind kind, uint64_t sector,
		       uint64_t sector_cnt, bool may_unmap)
{
	op->kind = kind;
	op->may_unmap = may_unmap;
	op->iov_cnt = 0;
	op->offset_bytes = sector << BLK_SECTOR_SHIFT;
	op->len_bytes = sector_cnt << BLK_SECTOR_SHIFT;
	op->iov = NULL;
}

/*
 * Judged segments live where the chain's inline iovecs were: their data has been copied by then,
 * so nobody needs those any more, and a slot stays small.
 */
static void segment_put(struct blk_request *req, unsigned idx, const struct blk_segment *segment)
{
	memcpy(&req->slot.inline_iov[idx], segment, sizeof(*segment));
}

static struct blk_segment segment_get(const struct blk_request *req, unsigned idx)
{
	struct blk_segment segment;

	memcpy(&segment, &req->slot.inline_iov[idx], sizeof(segment));
	return segment;
}

void blk_op_flush(struct storage_op *op)
{
	fill_plain(op, STORAGE_FLUSH, 0, 0, false);
}

bool blk_request_next_segment(struct blk_request *req)
{
	while (req->segment_idx < req->segment_cnt) {
		struct blk_segment segment = segment_get(req, req->segment_idx++);

		if (!segment.sector_cnt)
			continue;
		fill_plain(&req->op, req->op.kind, segment.sector, segment.sector_cnt,
			   segment.may_unmap);
		return true;
	}
	return false;
}

static enum blk_verdict judge_segments(struct blk_request *req, enum storage_kind kind,
				       const struct data_part *data, uint64_t capacity_sectors)
{
	uint32_t flags_known = kind == STORAGE_WRITE_ZEROES ? BLK_SEGMENT_UNMAP : 0;
	uint32_t sectors_max = kind == STORAGE_DISCARD ? BLK_DISCARD_SECTORS_MAX
						       : BLK_WRITE_ZEROES_SECTORS_MAX;
	struct blk_wire_segment wire[BLK_SEGMENTS_MAX];
	struct iov_cursor cursor;
	unsigned cnt;

	if (data->in_bytes)
		return BLK_BAD_FRAMING;
	if (!data->out_bytes || data->out_bytes % sizeof(wire[0]))
		return BLK_BAD_LENGTH;
	if (data->out_bytes > sizeof(wire))
		return BLK_TOO_MANY_SEGMENTS;
	cnt = (unsigned)(data->out_bytes / sizeof(wire[0]));
	iov_cursor_init(&cursor, data->out, data->out_cnt);
	iov_copy_in(&cursor, wire, data->out_bytes);

	/* 5.2.6.2: any unknown flag makes the whole request UNSUPP, whatever else is wrong. */
	for (unsigned i = 0; i < cnt; i++) {
		if (le32_get(wire[i].flags) & ~flags_known)
			return BLK_BAD_FLAGS;
	}
	for (unsigned i = 0; i < cnt; i++) {
		struct blk_segment segment = {
			.sector = le64_get(wire[i].sector),
			.sector_cnt = le32_get(wire[i].sector_cnt),
			.may_unmap = le32_get(wire[i].flags) & BLK_SEGMENT_UNMAP,
		};

		if (segment.sector_cnt > sectors_max ||
		    !range_within(segment.sector, segment.sector_cnt, capacity_sectors))
			return BLK_BAD_RANGE;
		segment_put(req, i, &segment);
	}
	req->op.kind = kind;
	req->segment_cnt = (uint8_t)cnt;
	req->segment_idx = 0;
	return blk_request_next_segment(req) ? BLK_SUBMIT : BLK_NOTHING;
}

/* 5.2.6: 20 bytes, padded with NUL; no terminator when it is full. */
static enum blk_verdict answer_id(struct blk_request *req, const struct blk_rules *rules,
				  const struct data_part *data)
{
	struct iov_cursor cursor;

	if (data->out_bytes)
		return BLK_BAD_FRAMING;
	iov_cursor_init(&cursor, data->in, data->in_cnt);
	req->slot.used_bytes += (uint32_t)iov_copy_out(&cursor, rules->serial, BLK_SERIAL_BYTES);
	return BLK_GOT_ID;
}

static NOINLINE enum blk_verdict judge_other(struct blk_request *req, uint32_t type,
					     const struct blk_rules *rules,
					     const struct data_part *data,
					     uint64_t capacity_sectors)
{
	switch (type) {
	case BLK_T_FLUSH:
		/* Drivers should send no data with it (5.2.6.1); it is not looked at. */
		blk_op_flush(&req->op);
		return BLK_SUBMIT;
	case BLK_T_GET_ID:
		return answer_id(req, rules, data);
	case BLK_T_DISCARD:
		if (!rules->discard)
			return BLK_UNSUPPORTED;
		return judge_segments(req, STORAGE_DISCARD, data, capacity_sectors);
	case BLK_T_WRITE_ZEROES:
		if (!rules->write_zeroes)
			return BLK_UNSUPPORTED;
		return judge_segments(req, STORAGE_WRITE_ZEROES, data, capacity_sectors);
	default:
		return BLK_UNSUPPORTED;
	}
}

static COLD enum blk_verdict refuse_chain(struct blk_request *req)
{
	struct vq_slot *slot = &req->slot;

	if (slot->tail_in)
		req->status = last_byte(&slot->iov[slot->out_cnt + slot->in_cnt - 1u]);
	return BLK_BAD_CHAIN;
}

enum blk_verdict blk_request_parse(struct blk_request *req, const struct blk_rules *rules,
				   uint64_t capacity_sectors)
{
	struct vq_slot *slot = &req->slot;
	struct data_part data;
	struct blk_header header;
	uint32_t type;

	req->status = NULL;
	slot->used_bytes = 1; /* the status; reads and GET_ID add to it */
	if (unlikely(slot->error != CHAIN_OK))
		return refuse_chain(req);
	if (unlikely(!frame_usual(req, &header, &data)) && !frame_any(req, &header, &data))
		return BLK_BAD_FRAMING;

	type = le32_get(header.type);
	if (likely(type == BLK_T_IN)) {
		if (unlikely(data.out_bytes))
			return BLK_BAD_FRAMING;
		slot->used_bytes += (uint32_t)data.in_bytes;
		return judge_io(req, STORAGE_READ, data.in, data.in_cnt, data.in_bytes,
				le64_get(header.sector), capacity_sectors);
	}
	if (likely(type == BLK_T_OUT)) {
		if (unlikely(data.in_bytes))
			return BLK_BAD_FRAMING;
		if (unlikely(rules->read_only))
			return BLK_READ_ONLY;
		return judge_io(req, STORAGE_WRITE, data.out, data.out_cnt, data.out_bytes,
				le64_get(header.sector), capacity_sectors);
	}
	return judge_other(req, type, rules, &data, capacity_sectors);
}
