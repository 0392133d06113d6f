/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges received frames: headers, checksums, contents; then what their flow has seen before.
 */
#include "netload/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int netload_verify_init(struct netload_verify *v, uint32_t flow_cnt)
{
	memset(v, 0, sizeof(*v));
	v->flow_cnt = flow_cnt;
	v->flow[0] = calloc(flow_cnt, sizeof(*v->flow[0]));
	v->flow[1] = calloc(flow_cnt, sizeof(*v->flow[1]));
	/* Room for any length that a device can claim, and for a pattern to hold it against. */
	v->frame = malloc(2 * (FRAME_BYTES_MAX + 4));
	return v->flow[0] && v->flow[1] && v->frame ? 0 : -ENOMEM;
}

void netload_verify_fini(struct netload_verify *v)
{
	free(v->flow[0]);
	free(v->flow[1]);
	free(v->frame);
}

static bool wrong(struct netload_verify *v, const struct frame_seen *seen, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static bool wrong(struct netload_verify *v, const struct frame_seen *seen, const char *fmt, ...)
{
	va_list ap;
	int len;

	len = snprintf(v->error, sizeof(v->error), "frame %u of flow %u from %c: ", seen->count,
		       seen->flow, seen->stream & FRAME_FROM_B ? 'b' : 'a');
	va_start(ap, fmt);
	vsnprintf(v->error + len, sizeof(v->error) - (size_t)len, fmt, ap);
	va_end(ap);
	return false;
}

static uint32_t get16(const uint8_t *from)
{
	return (uint32_t)from[0] << 8 | from[1];
}

static bool check_header(struct netload_verify *v, const struct virtio_net_hdr_mrg_rxbuf *header,
			 uint32_t bytes, const struct frame_seen *seen)
{
	const struct virtio_net_hdr *h = &header->hdr;
	uint32_t l4_offset = seen->l2_bytes + FRAME_IP_BYTES;
	uint8_t gso = h->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;

	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (!v->guest_csum)
			return wrong(v, seen, "its checksum is left to us, who did not take that");
		if (h->csum_start != l4_offset || h->csum_offset != (seen->tcp ? 16 : 6))
			return wrong(v, seen, "csum_start is %u and csum_offset %u", h->csum_start,
				     h->csum_offset);
	}
	if (gso == VIRTIO_NET_HDR_GSO_NONE)
		return true;
	if (!v->guest_tso4 || !seen->tcp || gso != VIRTIO_NET_HDR_GSO_TCPV4)
		return wrong(v, seen, "its gso_type is %u", h->gso_type);
	if (h->gso_size == 0 || !(h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return wrong(v, seen, "it is to be segmented, with gso_size %u and flags %u",
			     h->gso_size, h->flags);
	if (bytes <= l4_offset + FRAME_TCP_BYTES)
		return wrong(v, seen, "it is to be segmented and has %u bytes", bytes);
	return true;
}

static bool check_sums(struct netload_verify *v, const struct virtio_net_hdr_mrg_rxbuf *header,
		       const uint8_t *ip, uint32_t l4_bytes, const struct frame_seen *seen)
{
	const uint8_t *l4 = ip + FRAME_IP_BYTES;
	uint64_t pseudo = frame_sum_pseudo(ip, l4_bytes);
	uint32_t stored = get16(l4 + (seen->tcp ? 16 : 6));

	if (frame_sum_fold(frame_sum(ip, FRAME_IP_BYTES)) != 0xffff)
		return wrong(v, seen, "the checksum of its IPv4 header is wrong");
	if (header->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
		if (stored != frame_sum_fold(pseudo))
			return wrong(v, seen, "the sum of its pseudo-header is 0x%04x, not 0x%04x",
				     stored, frame_sum_fold(pseudo));
		return true;
	}
	if (v->guest_csum && header->hdr.flags & VIRTIO_NET_HDR_F_DATA_VALID)
		return true;
	if (frame_sum_fold(frame_sum(l4, l4_bytes) + pseudo) != 0xffff)
		return wrong(v, seen, "its checksum 0x%04x is wrong", stored);
	return true;
}

static bool check_content(struct netload_verify *v, const uint8_t *payload, uint32_t bytes,
			  const struct frame_seen *seen)
{
	uint8_t *expected = v->frame + FRAME_BYTES_MAX + 4;
	uint64_t at = seen->tcp ? seen->count : frame_pattern_at(seen->count);

	frame_pattern(expected, bytes, seen->stream, seen->flow, at);
	v->byte_cnt += bytes;
	if (memcmp(expected, payload, bytes) == 0)
		return true;
	for (uint32_t i = 0; i < bytes; i++)
		if (expected[i] != payload[i])
			return wrong(v, seen,
				     "byte %u of %u of its contents is 0x%02x, expected 0x%02x", i,
				     bytes, payload[i], expected[i]);
	return true;
}

static void gap_drop(struct netload_flow *f, uint32_t i)
{
	f->gap_cnt--;
	memmove(&f->gap[i], &f->gap[i + 1], (f->gap_cnt - i) * sizeof(f->gap[0]));
}

/* Before gap i; when there is no room the oldest goes. */
static void gap_insert(struct netload_flow *f, uint32_t i, struct netload_gap gap)
{
	if (f->gap_cnt == NETLOAD_GAPS_MAX) {
		gap_drop(f, 0);
		i -= i > 0;
	}
	memmove(&f->gap[i + 1], &f->gap[i], (f->gap_cnt - i) * sizeof(f->gap[0]));
	f->gap[i] = gap;
	f->gap_cnt++;
}

/* What is still missing below `count` now knows of a later frame. */
static void gaps_tell(struct netload_flow *f, uint32_t count, const struct netload_place *at)
{
	for (uint32_t i = 0; i < f->gap_cnt; i++) {
		struct netload_gap *gap = &f->gap[i];

		if ((int32_t)(count - gap->last) <= 0)
			return;
		gap->queues |= UINT64_C(1) << at->queue;
		if (at->look < gap->look)
			gap->look = at->look;
	}
}

/* The gap that the count is part of; gap_cnt: none. */
static uint32_t gap_find(const struct netload_flow *f, uint32_t count)
{
	uint32_t i = 0;

	while (i < f->gap_cnt &&
	       ((int32_t)(count - f->gap[i].first) < 0 || (int32_t)(f->gap[i].last - count) < 0))
		i++;
	return i;
}

/* Takes cnt counts from `first` on out of a gap, which they may cut in two. */
static void gap_fill(struct netload_flow *f, uint32_t i, uint32_t first, uint32_t cnt)
{
	struct netload_gap rest = f->gap[i];
	uint32_t last = first + cnt - 1;

	if ((int32_t)(rest.last - last) < 0)
		last = rest.last;
	f->gap[i].last = first - 1;
	rest.first = last + 1;
	if (f->gap[i].first == first)
		gap_drop(f, i);
	else
		i++;
	if (last != rest.last)
		gap_insert(f, i, rest);
}

/* The first frame that is out of order, in words. */
static void late_say(struct netload_verify *v, const struct netload_flow *f, uint32_t gap,
		     const struct frame_seen *seen, const struct netload_place *at)
{
	const struct netload_gap *g = gap < f->gap_cnt ? &f->gap[gap] : NULL;
	int len;

	if (v->late[0])
		return;
	len = snprintf(v->late, sizeof(v->late),
		       "%u of flow %u from %c on queue %u, when %u was due", seen->count,
		       seen->flow, seen->stream & FRAME_FROM_B ? 'b' : 'a', at->queue,
		       (uint32_t)f->next);
	if (g)
		snprintf(
			v->late + len, sizeof(v->late) - (size_t)len,
			"; later ones on queues 0x%llx, %llu looks before",
			(unsigned long long)g->queues,
			(unsigned long long)(at->look - (at->look > g->look ? g->look : at->look)));
}

/* A count below the one that is expected. */
static void count_behind(struct netload_verify *v, struct netload_flow *f,
			 const struct frame_seen *seen, uint32_t bytes,
			 const struct netload_place *at)
{
	uint32_t i = gap_find(f, seen->count);
	bool again = i == f->gap_cnt;
	bool late = !again && (f->gap[i].queues >> at->queue & 1 || at->look > f->gap[i].look + 1);

	if (again && !seen->tcp) {
		v->duplicate_cnt++;
	} else if (again || late) {
		v->late_cnt++;
		late_say(v, f, i, seen, at);
	} else {
		v->crossed_cnt++;
	}
	if (again)
		return;
	if (!late && !seen->tcp)
		v->gap_cnt--;
	gap_fill(f, i, seen->count, seen->tcp ? bytes : 1);
	gaps_tell(f, seen->count, at);
}

void netload_verify_count(struct netload_verify *v, const struct frame_seen *seen, uint32_t bytes,
			  const struct netload_place *at)
{
	struct netload_flow *f = &v->flow[seen->stream & FRAME_FROM_B ? 1 : 0][seen->flow];
	uint32_t next = (uint32_t)f->next;
	int32_t ahead = (int32_t)(seen->count - next);

	if (ahead < 0) {
		count_behind(v, f, seen, bytes, at);
		return;
	}
	gaps_tell(f, seen->count, at);
	if (ahead > 0) {
		gap_insert(f, f->gap_cnt,
			   (struct netload_gap){next, seen->count - 1, at->look,
						UINT64_C(1) << at->queue});
		if (!seen->tcp)
			v->gap_cnt += (uint32_t)ahead;
	}
	f->next += (uint32_t)ahead + (seen->tcp ? bytes : 1);
}

bool netload_verify_bytes(struct netload_verify *v, const struct virtio_net_hdr_mrg_rxbuf *header,
			  const uint8_t *frame, uint32_t bytes, const struct frame_seen *seen,
			  const struct netload_place *at)
{
	const uint8_t *ip = frame + seen->l2_bytes, *l4 = ip + FRAME_IP_BYTES;
	uint32_t ip_bytes = get16(ip + 2);
	uint32_t head = seen->tcp ? FRAME_TCP_BYTES
				  : FRAME_UDP_BYTES + (uint32_t)sizeof(struct frame_tag);

	if (seen->flow >= v->flow_cnt)
		return wrong(v, seen, "there are %u flows", v->flow_cnt);
	if (bytes < seen->l2_bytes + FRAME_IP_BYTES + head || ip_bytes != bytes - seen->l2_bytes)
		return wrong(v, seen, "%u bytes have come, its IPv4 header says %u", bytes,
			     ip_bytes + seen->l2_bytes);
	if (!seen->tcp && get16(l4 + 4) != ip_bytes - FRAME_IP_BYTES)
		return wrong(v, seen, "its UDP length is %u in a packet of %u", get16(l4 + 4),
			     ip_bytes);
	if (!check_header(v, header, bytes, seen) ||
	    !check_sums(v, header, ip, ip_bytes - FRAME_IP_BYTES, seen) ||
	    !check_content(v, l4 + head, ip_bytes - FRAME_IP_BYTES - head, seen))
		return false;
	v->frame_cnt++;
	netload_verify_count(v, seen, seen->tcp ? ip_bytes - FRAME_IP_BYTES - head : 0, at);
	return true;
}

bool netload_verify_frame(struct netload_verify *v, const struct net_queue *q,
			  const struct net_frame *f, const struct frame_seen *seen,
			  const struct netload_place *at)
{
	if (f->bytes > FRAME_BYTES_MAX + 4)
		return wrong(v, seen, "%u bytes have come", f->bytes);
	net_frame_copy(q, f, 0, v->frame, f->bytes);
	return netload_verify_bytes(v, (const void *)f->data, v->frame, f->bytes, seen, at);
}
