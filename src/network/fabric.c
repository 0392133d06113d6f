/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making and ending a fabric, and control's rounds over its workers.
 * Not what exchanges do with frames (exchange.c). Control thread only.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "base/check.h"
#include "base/fdio.h"
#include "network/netport_priv.h"

struct round_call {
	struct worker_call call;
	struct fabric_round *round;
	struct exchange *exchange;
};

struct fabric_round {
	struct fabric *fabric;
	unsigned pending;
	void (*run)(struct exchange *exchange, void *arg);
	void (*done)(void *arg);
	void *arg;
	struct round_call calls[];
};

static void round_run_on_worker(struct worker *worker, struct worker_call *call)
{
	struct round_call *one = container_of(call, struct round_call, call);

	(void)worker;
	one->round->run(one->exchange, one->round->arg);
	worker_call_ack(call);
}

static void round_done_on_control(struct worker_call *call)
{
	struct fabric_round *round = container_of(call, struct round_call, call)->round;

	if (--round->pending == 0)
		round->done(round->arg);
}

struct fabric_round *fabric_round_new(struct fabric *fabric)
{
	struct fabric_round *round =
		calloc(1, sizeof(*round) + fabric->worker_cnt * sizeof(round->calls[0]));

	if (round)
		round->fabric = fabric;
	return round;
}

void fabric_round_start(struct fabric_round *round,
			void (*run)(struct exchange *exchange, void *arg), void (*done)(void *arg),
			void *arg)
{
	struct fabric *fabric = round->fabric;

	CHECK(round->pending == 0);
	round->pending = fabric->worker_cnt;
	round->run = run;
	round->done = done;
	round->arg = arg;
	for (unsigned i = 0; i < fabric->worker_cnt; i++) {
		round->calls[i] = (struct round_call){
			.call = {.run_on_worker = round_run_on_worker,
				 .done_on_control = round_done_on_control},
			.round = round,
			.exchange = fabric->exchanges[i],
		};
		worker_call(fabric->exchanges[i]->worker, &round->calls[i].call);
	}
}

bool fabric_take_port_id(struct fabric *fabric, uint32_t *port_id)
{
	/* The next one, not the first: a number comes again as late as can be. */
	for (unsigned i = 0; i < FABRIC_PORTS_MAX; i++) {
		const unsigned place = (fabric->next_place + i) % FABRIC_PORTS_MAX;

		if (fabric->places[place].used)
			continue;
		fabric->places[place].used = true;
		fabric->places[place].generation++;
		fabric->next_place = place + 1;
		*port_id = (uint32_t)fabric->places[place].generation << 16 | place;
		return true;
	}
	return false;
}

void fabric_put_port_id(struct fabric *fabric, uint32_t port_id)
{
	fabric->places[FABRIC_PORT_PLACE(port_id)].used = false;
}

/* --- exchanges --- */

static void exchange_free(struct exchange *exchange)
{
	if (!exchange)
		return;
	fdio_close(&exchange->wake_fd);
	free(exchange->peers);
	free(exchange->dirty_peers);
	free(exchange->ports);
	free(exchange);
}

static struct exchange *exchange_new(struct fabric *fabric, unsigned idx, struct worker *worker)
{
	struct exchange *exchange = aligned_alloc(CACHE_LINE_BYTES, sizeof(*exchange));

	if (!exchange)
		return NULL;
	*exchange = (struct exchange){
		.fabric = fabric,
		.worker = worker,
		.idx = (uint16_t)idx,
		.peer_cnt = (uint16_t)fabric->worker_cnt,
		.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
		.peers = calloc(fabric->worker_cnt, sizeof(*exchange->peers)),
		.dirty_peers = calloc(fabric->worker_cnt, sizeof(*exchange->dirty_peers)),
		.ports = calloc(FABRIC_PORTS_MAX, sizeof(*exchange->ports)),
		.poller = {.ops = &exchange_poller_ops,
			   .mode = fabric->poll_mode,
			   .poll_max_ns = fabric->poll_max_ns},
	};
	steer_moves_init(&exchange->moves);
	if (exchange->wake_fd < 0 || !exchange->peers || !exchange->dirty_peers ||
	    !exchange->ports) {
		exchange_free(exchange);
		return NULL;
	}
	return exchange;
}

static void exchange_link(struct fabric *fabric, struct exchange *exchange)
{
	const unsigned cnt = fabric->worker_cnt;
	struct ring *returns = fabric->rings + (size_t)cnt * cnt;

	for (unsigned i = 0; i < cnt; i++) {
		const size_t to = (size_t)exchange->idx * cnt + i;
		const size_t from = (size_t)i * cnt + exchange->idx;

		exchange->peers[i] = (struct exchange_peer){
			.exchange = fabric->exchanges[i],
			.out = &fabric->rings[to],
			.out_returns = &returns[to],
			.in = &fabric->rings[from],
			.in_returns = &returns[from],
		};
	}
}

static void exchange_start_on_worker(struct exchange *exchange, void *arg)
{
	(void)arg;
	worker_poller_add(exchange->worker, &exchange->poller);
	/* Without a watch nothing would wake it: it may not sleep then. */
	if (worker_poller_set_kick(&exchange->poller, exchange->wake_fd) < 0)
		worker_poller_set_mode(&exchange->poller, POLL_MODE_ALWAYS, 0);
}

static void exchange_stop_on_worker(struct exchange *exchange, void *arg)
{
	(void)arg;
	worker_poller_remove(&exchange->poller);
}

/* --- fabric --- */

static void fabric_destroy(struct fabric *fabric)
{
	for (unsigned i = 0; fabric->exchanges && i < fabric->worker_cnt; i++)
		exchange_free(fabric->exchanges[i]);
	free(fabric->exchanges);
	free(fabric->rings);
	free(fabric->start);
	free(fabric->stop);
	free(fabric);
}

/* Pages of rings that are never used take no memory. */
static struct ring *rings_new(unsigned worker_cnt)
{
	const size_t cnt = (size_t)worker_cnt * worker_cnt * 2;
	struct ring *rings = NULL;

	if (posix_memalign((void **)&rings, CACHE_LINE_BYTES, cnt * sizeof(*rings)) != 0)
		return NULL;
	for (size_t i = 0; i < cnt; i++) {
		rings[i].tail = 0;
		rings[i].head = 0;
	}
	return rings;
}

static bool fabric_fill(struct fabric *fabric, const struct fabric_options *options)
{
	fabric->exchanges = calloc(options->worker_cnt, sizeof(struct exchange *));
	fabric->rings = rings_new(options->worker_cnt);
	fabric->start = fabric_round_new(fabric);
	fabric->stop = fabric_round_new(fabric);
	if (!fabric->exchanges || !fabric->rings || !fabric->start || !fabric->stop)
		return false;
	for (unsigned i = 0; i < options->worker_cnt; i++) {
		fabric->exchanges[i] = exchange_new(fabric, i, options->workers[i]);
		if (!fabric->exchanges[i])
			return false;
	}
	for (unsigned i = 0; i < options->worker_cnt; i++)
		exchange_link(fabric, fabric->exchanges[i]);
	return true;
}

static void fabric_started(void *arg)
{
	(void)arg;
}

int fabric_new(const struct fabric_options *options, struct evloop *control, struct fabric **out,
	       struct err *err)
{
	struct fabric *fabric;

	(void)control; /* workers know it */
	if (options->worker_cnt == 0 || options->worker_cnt >= NETPORT_OWNER_MOVING)
		return err_set(err, EINVAL, "a network needs 1 to %u workers, not %u",
			       NETPORT_OWNER_MOVING - 1, options->worker_cnt);
	fabric = calloc(1, sizeof(*fabric));
	if (!fabric)
		return err_set(err, ENOMEM, "no memory for the network");
	fabric->worker_cnt = options->worker_cnt;
	fabric->poll_mode = options->poll_mode;
	fabric->poll_max_ns = options->poll_max_ns;
	if (!fabric_fill(fabric, options)) {
		fabric_destroy(fabric);
		return err_set(err, ENOMEM,
			       "no memory or no descriptor for what %u workers share for frames",
			       options->worker_cnt);
	}
	/* Whatever else is sent to a worker comes after it. */
	fabric_round_start(fabric->start, exchange_start_on_worker, fabric_started, fabric);
	*out = fabric;
	return 0;
}

static void fabric_stopped(void *arg)
{
	struct fabric *fabric = arg;
	void (*closed)(void *arg) = fabric->closed;
	void *closed_arg = fabric->closed_arg;

	for (unsigned i = 0; i < fabric->worker_cnt; i++) {
		/* Of ports that are gone nobody waits for an answer to a fence. */
		for (unsigned peer = 0; peer < fabric->worker_cnt; peer++)
			CHECK(fabric->exchanges[i]->peers[peer].out_cnt ==
			      fabric->exchanges[i]->peers[peer].fence_cnt);
	}
	fabric_destroy(fabric);
	if (closed)
		closed(closed_arg);
}

void fabric_free(struct fabric *fabric, void (*closed)(void *arg), void *arg)
{
	if (!fabric) {
		if (closed)
			closed(arg);
		return;
	}
	fabric->closed = closed;
	fabric->closed_arg = arg;
	fabric_round_start(fabric->stop, exchange_stop_on_worker, fabric_stopped, fabric);
}

struct exchange *fabric_exchange(const struct fabric *fabric, const struct worker *worker)
{
	for (unsigned i = 0; i < fabric->worker_cnt; i++) {
		if (fabric->exchanges[i]->worker == worker)
			return fabric->exchanges[i];
	}
	return NULL;
}

void fabric_copies_add(struct fabric *fabric, int cnt)
{
	__atomic_fetch_add(&fabric->copies, (unsigned)cnt, __ATOMIC_ACQ_REL);
}

bool fabric_has_copies(const struct fabric *fabric)
{
	return load_acquire(&fabric->copies) != 0;
}
