/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connects, negotiates, holds the options against what the ports are, makes memory and queues.
 */
#include "netload/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#define BIT(n) (UINT64_C(1) << (n))

static const uint64_t protocol_wanted = BIT(VU_PF_MQ) | BIT(VU_PF_REPLY_ACK) | BIT(VU_PF_CONFIG) |
					BIT(VU_PF_BACKEND_REQ) | BIT(VU_PF_CONFIGURE_MEM_SLOTS);

static int fail(struct netload_session *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int fail(struct netload_session *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->error, sizeof(s->error), fmt, ap);
	va_end(ap);
	return BENCH_FAILED;
}

static const char *name_of(const struct netload_session *s, const struct netload_port *p)
{
	return s->opts->socket[p - s->port];
}

static int front_failed(struct netload_session *s, const struct netload_port *p)
{
	return fail(s, "%s: %s", name_of(s, p), p->front ? p->front->error : "out of memory");
}

static int connect_one(struct netload_session *s, struct netload_port *p)
{
	const struct netload_opts *o = s->opts;
	struct front_opts front_opts = {.path = name_of(s, p),
					.listen = o->listen,
					.wait_ms = (int)(o->wait_s * 1000),
					.timeout_ms = (int)(o->timeout_s * 1000)};

	if (front_open(&p->front, &front_opts) < 0)
		return fail(s, "%s", p->front ? p->front->error : "out of memory");
	return BENCH_OK;
}

static int need(struct netload_session *s, const struct netload_port *p, const char *option,
		const char *name, unsigned int bit)
{
	if (front_offers(p->front, bit))
		return BENCH_OK;
	return fail(s, "%s: %s: the back end does not offer %s (features 0x%llx)", name_of(s, p),
		    option, name, (unsigned long long)p->front->features_offered);
}

static int features_required(struct netload_session *s, const struct netload_port *p)
{
	const struct netload_opts *o = s->opts;
	const struct {
		const char *option, *name;
		unsigned int bit;
		bool wanted;
	} row[] = {
		{"net", "VERSION_1", VIRTIO_F_VERSION_1, true},
		{"--ring packed", "RING_PACKED", VIRTIO_F_RING_PACKED, o->format == RING_PACKED},
		{"--in-order", "IN_ORDER", VIRTIO_F_IN_ORDER, o->in_order},
		{"--indirect", "INDIRECT_DESC", VIRTIO_RING_F_INDIRECT_DESC, o->indirect},
		{"--csum", "CSUM", VIRTIO_NET_F_CSUM, o->csum},
		{"--gso", "HOST_TSO4", VIRTIO_NET_F_HOST_TSO4, o->gso_size != 0},
		{"--queue-pairs", "MQ", VIRTIO_NET_F_MQ, o->pairs > 1},
	};

	for (unsigned int i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		if (row[i].wanted && need(s, p, row[i].option, row[i].name, row[i].bit) != BENCH_OK)
			return BENCH_FAILED;
	return BENCH_OK;
}

static uint64_t features_choose(const struct netload_opts *o, uint64_t offered)
{
	uint64_t wanted = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MAC) |
			  BIT(VIRTIO_NET_F_STATUS) | BIT(VIRTIO_NET_F_MTU);

	if (o->format == RING_PACKED)
		wanted |= BIT(VIRTIO_F_RING_PACKED);
	if (o->in_order)
		wanted |= BIT(VIRTIO_F_IN_ORDER);
	if (o->indirect)
		wanted |= BIT(VIRTIO_RING_F_INDIRECT_DESC);
	if (!o->no_event_idx)
		wanted |= BIT(VIRTIO_RING_F_EVENT_IDX);
	if (!o->no_mergeable)
		wanted |= BIT(VIRTIO_NET_F_MRG_RXBUF);
	if (o->csum || o->gso_size)
		wanted |= BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM);
	if (o->gso_size)
		wanted |= BIT(VIRTIO_NET_F_HOST_TSO4);
	if (o->gso_size && !o->no_guest_tso && offered & BIT(VIRTIO_NET_F_GUEST_CSUM))
		wanted |= BIT(VIRTIO_NET_F_GUEST_TSO4);
	/* More pairs are switched on through the control queue, which the front end keeps. */
	if (o->pairs > 1)
		wanted |= BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_VQ);
	return offered & wanted;
}

/* Descriptors of the ring that the longest frame takes. */
static uint32_t tx_desc_cnt(const struct netload_opts *o)
{
	uint32_t bytes = NET_HEADER_BYTES + o->size_bytes;

	return o->segment_bytes && !o->indirect ? (bytes - 1) / o->segment_bytes + 1 : 1;
}

static int device_check(struct netload_session *s, struct netload_port *p)
{
	const struct netload_opts *o = s->opts;

	if (tx_desc_cnt(o) > o->ring_size)
		return options_reject(
			"--segment",
			"%u given, a frame of %u bytes takes %u descriptors, the ring "
			"has %u",
			o->segment_bytes, o->size_bytes, tx_desc_cnt(o), o->ring_size);
	/* Some count rings, some pairs; whoever counts pairs has at least as many. */
	if (o->pairs > 1 && o->pairs > p->front->queue_max)
		return options_reject("--queue-pairs", "%u given, %s has %llu", o->pairs,
				      name_of(s, p), (unsigned long long)p->front->queue_max);
	if (front_has_protocol(p->front, VU_PF_CONFIG) && net_config_get(p->front, &p->config) < 0)
		return front_failed(s, p);
	p->mergeable = front_has(p->front, VIRTIO_NET_F_MRG_RXBUF);
	p->rx_buffer_bytes = netload_rx_buffer_bytes(o, p->mergeable);
	return BENCH_OK;
}

static struct net_queue_opts tx_opts(const struct netload_opts *o)
{
	return (struct net_queue_opts){
		.slot_cnt = (uint16_t)(o->ring_size / tx_desc_cnt(o)),
		.buffer_bytes = NET_HEADER_BYTES + o->size_bytes,
		.segment_bytes = o->segment_bytes,
		.indirect = o->indirect,
	};
}

static struct net_queue_opts rx_opts(const struct netload_opts *o, const struct netload_port *p)
{
	return (struct net_queue_opts){
		.slot_cnt = (uint16_t)(o->rx_buffer_cnt < o->ring_size ? o->rx_buffer_cnt
								       : o->ring_size),
		.buffer_bytes = p->rx_buffer_bytes,
		.receive = true,
		.mergeable = p->mergeable,
	};
}

static int memory_make(struct netload_session *s, struct netload_port *p)
{
	const struct netload_opts *o = s->opts;
	struct net_queue_opts tx = tx_opts(o), rx = rx_opts(o, p);
	struct shm_opts shm_opts = {0};
	struct sysinfo info;
	int rc;

	p->ring_opts = (struct ring_opts){
		.format = o->format,
		.size = (uint16_t)o->ring_size,
		.event_idx = front_has(p->front, VIRTIO_RING_F_EVENT_IDX),
		.in_order = o->in_order,
	};
	shm_opts.bytes = o->pairs * (2 * (ring_shm_bytes(&p->ring_opts) + 4096) +
				     net_queue_shm_bytes(&tx) + net_queue_shm_bytes(&rx));
	if (sysinfo(&info) == 0 && shm_opts.bytes > (uint64_t)info.totalram * info.mem_unit / 4)
		return options_reject("--queue-size",
				      "%u buffers of up to %u bytes on %u queue pairs given: too "
				      "much for this machine",
				      o->ring_size, o->size_bytes, o->pairs);
	rc = shm_new(&p->shm, &shm_opts);
	if (rc < 0)
		return fail(s, "cannot make %llu MiB of guest memory: %s",
			    (unsigned long long)(shm_opts.bytes >> 20), strerror(-rc));
	if (front_share_mem(p->front, p->shm) < 0)
		return front_failed(s, p);
	return BENCH_OK;
}

uint32_t netload_frame_bytes(const struct netload_opts *o, unsigned int slot)
{
	static const uint16_t mix[12] = {60, 590, 60, 60, 590, 60, 1514, 60, 590, 60, 60, 590};

	return o->imix ? mix[slot % 12] : o->size_bytes;
}

struct frame_opts netload_frame_opts(const struct netload_opts *o, unsigned int port,
				     unsigned int pair)
{
	struct frame_opts f = {
		.mac_cnt = o->mac_cnt,
		.vlan = o->vlan,
		.gso_size = o->gso_size,
		.csum = o->csum,
		.stamps = o->stamps,
		.answers = o->answers && port,
		.fill = o->verify,
		.flow_cnt = o->flow_cnt,
		.stream = (uint8_t)(pair | (port ? FRAME_FROM_B : 0)),
		.stream_cnt = (uint8_t)o->pairs,
	};

	memcpy(f.src_mac, o->mac[port], 6);
	memcpy(f.dst_mac, o->mac[!port], 6);
	return f;
}

static int frames_build(struct netload_session *s, struct netload_port *p, unsigned int pair)
{
	const struct netload_opts *o = s->opts;
	struct frame_opts opts = netload_frame_opts(o, (unsigned int)(p - s->port), pair);
	struct net_queue *q = p->tx[pair];

	if (frame_gen_init(&p->gen[pair], &opts) < 0)
		return fail(s, "out of memory");
	for (uint16_t i = 0; i < q->opts.slot_cnt; i++) {
		uint32_t bytes = netload_frame_bytes(o, i);

		frame_build(&p->gen[pair], q->slot[i].data, bytes);
		net_slot_shape(q, i, NET_HEADER_BYTES + bytes);
	}
	return BENCH_OK;
}

static int pair_make(struct netload_session *s, struct netload_port *p, unsigned int i)
{
	struct net_queue_opts rx = rx_opts(s->opts, p), tx = tx_opts(s->opts);

	if (front_queue_new(&p->rx_fq[i], p->front, p->shm, NET_RX_IDX(i), &p->ring_opts) < 0 ||
	    front_queue_new(&p->tx_fq[i], p->front, p->shm, NET_TX_IDX(i), &p->ring_opts) < 0 ||
	    net_queue_new(&p->tx[i], p->tx_fq[i], p->shm, &tx) < 0 ||
	    (rx.slot_cnt && net_queue_new(&p->rx[i], p->rx_fq[i], p->shm, &rx) < 0))
		return front_failed(s, p);
	if (frames_build(s, p, i) != BENCH_OK)
		return BENCH_FAILED;
	/* Before the start, so that the first look of the back end finds them. */
	if (p->rx[i]) {
		for (uint16_t slot = 0; slot < rx.slot_cnt; slot++)
			memset(p->rx[i]->slot[slot].data, 0, rx.buffer_bytes);
		if (net_post(p->rx[i], UINT32_MAX) < 0)
			return fail(s, "cannot post receive buffers");
	}
	return BENCH_OK;
}

static int port_start(struct netload_session *s, struct netload_port *p)
{
	const struct netload_opts *o = s->opts;
	int rc = BENCH_OK;

	if (front_negotiate(p->front, protocol_wanted) < 0)
		rc = front_failed(s, p);
	if (rc == BENCH_OK)
		rc = features_required(s, p);
	if (rc == BENCH_OK &&
	    front_set_features(p->front, features_choose(o, p->front->features_offered)) < 0)
		rc = front_failed(s, p);
	if (rc == BENCH_OK)
		rc = device_check(s, p);
	if (rc == BENCH_OK)
		rc = memory_make(s, p);
	for (unsigned int i = 0; i < o->pairs && rc == BENCH_OK; i++)
		rc = pair_make(s, p, i);
	for (unsigned int i = 0; i < o->pairs && rc == BENCH_OK; i++)
		if (front_queue_start(p->rx_fq[i]) < 0 || front_queue_start(p->tx_fq[i]) < 0)
			rc = front_failed(s, p);
	/* What was posted before there was anybody to kick. */
	for (unsigned int i = 0; i < o->pairs && rc == BENCH_OK; i++)
		front_queue_kick(p->rx_fq[i]);
	return rc;
}

int netload_session_start(struct netload_session *s, const struct netload_opts *opts)
{
	int rc = BENCH_OK;

	memset(s, 0, sizeof(*s));
	s->opts = opts;
	s->port_cnt = opts->socket_cnt;
	for (unsigned int i = 0; i < s->port_cnt && rc == BENCH_OK; i++)
		rc = connect_one(s, &s->port[i]);
	if (rc == BENCH_OK)
		s->server_pid = opts->server_pid ? opts->server_pid
						 : front_peer_pid(s->port[0].front);
	for (unsigned int i = 0; i < s->port_cnt && rc == BENCH_OK; i++)
		rc = port_start(s, &s->port[i]);
	return rc;
}

int netload_session_stop(struct netload_session *s)
{
	for (unsigned int k = 0; k < s->port_cnt; k++) {
		struct netload_port *p = &s->port[k];

		for (unsigned int i = 0; i < s->opts->pairs; i++)
			if (front_queue_stop(p->rx_fq[i], NULL) < 0 ||
			    front_queue_stop(p->tx_fq[i], NULL) < 0)
				return front_failed(s, p);
	}
	return BENCH_OK;
}

void netload_session_close(struct netload_session *s)
{
	for (unsigned int k = 0; k < s->port_cnt; k++) {
		struct netload_port *p = &s->port[k];

		for (unsigned int i = 0; i < s->opts->pairs; i++) {
			net_queue_free(p->rx[i]);
			net_queue_free(p->tx[i]);
			front_queue_free(p->rx_fq[i]);
			front_queue_free(p->tx_fq[i]);
			frame_gen_fini(&p->gen[i]);
		}
		front_close(p->front);
		shm_free(p->shm);
	}
}
