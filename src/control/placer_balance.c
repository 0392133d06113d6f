/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The placer's rounds: measuring workers and queues, and carrying out what rebalance.h decides.
 * Not the decision, and not placing by vCPUs (placer.c).
 */
#include "control/placer_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define LOAD_TABLE "queue"
#define LOAD_ROW "load" /* ns */
#define LOAD_TABLE_BYTES_MAX 512

/* A queue that may be moved, by its place in the list for rebalance_round(). */
struct movable {
	struct placed_state *state;
	unsigned queue;
};

void placer_find_load_table(struct placed_state *state)
{
	unsigned cnt;
	const struct stat_table *tables = device_stat_tables(state->placed->device, &cnt);

	for (unsigned i = 0; i < cnt; i++) {
		if (strcmp(tables[i].name, LOAD_TABLE) != 0 ||
		    tables[i].bytes > LOAD_TABLE_BYTES_MAX)
			continue;
		for (unsigned j = 0; j < tables[i].row_cnt; j++) {
			if (strcmp(tables[i].rows[j].name, LOAD_ROW) == 0) {
				state->load_table = i;
				state->load_row = &tables[i].rows[j];
			}
		}
	}
}

/* ---- measuring ---- */

static unsigned permille(uint64_t part_ns, uint64_t window_ns)
{
	if (part_ns >= window_ns)
		return REBALANCE_FULL;
	return (unsigned)(part_ns * REBALANCE_FULL / window_ns);
}

static void begin_window(struct placer *placer, uint64_t now_ns)
{
	placer->round_begin_ns = now_ns;
	for (unsigned i = 0; i < placer->worker_cnt; i++) {
		struct placer_worker *worker = &placer->workers[i];

		worker->busy_seen_ns = stat_read(&worker_stats(worker->worker)->busy_ns);
		worker->load_ns = 0;
	}
}

static void measure_workers(struct placer *placer, uint64_t window_ns)
{
	for (unsigned i = 0; i < placer->worker_cnt; i++) {
		struct placer_worker *worker = &placer->workers[i];
		uint64_t busy_ns = stat_read(&worker_stats(worker->worker)->busy_ns);

		worker->busy_permille = permille(busy_ns - worker->busy_seen_ns, window_ns);
	}
}

static uint64_t read_load(const struct placed_state *state, unsigned queue)
{
	uint64_t counters[LOAD_TABLE_BYTES_MAX / sizeof(uint64_t)] = {0};

	device_queue_stats(state->placed->device, queue, state->load_table, counters);
	return counters[state->load_row->offset / sizeof(uint64_t)];
}

/* Also of devices that are never rebalanced: they have their share of a worker's time. */
static void measure_queues(struct placed_state *state)
{
	for (unsigned i = 0; i < state->queue_cnt && state->load_row; i++) {
		struct placed_queue *queue = &state->queues[i];
		uint64_t load_ns;

		if (queue->worker == PLACEMENT_NONE)
			continue;
		load_ns = read_load(state, i);
		queue->load_ns = load_ns - queue->load_seen_ns;
		queue->load_seen_ns = load_ns;
		state->placer->workers[queue->worker].load_ns += queue->load_ns;
	}
}

/* What is sampled may add up to more than the worker was busy: then its parts of that count. */
static uint16_t queue_load(const struct placer *placer, const struct placed_queue *queue,
			   uint64_t window_ns)
{
	const struct placer_worker *worker = &placer->workers[queue->worker];

	if (worker->load_ns == 0)
		return 0;
	if (worker->load_ns * REBALANCE_FULL / window_ns <= worker->busy_permille)
		return (uint16_t)permille(queue->load_ns, window_ns);
	return (uint16_t)(permille(queue->load_ns, worker->load_ns) * worker->busy_permille /
			  REBALANCE_FULL);
}

/* ---- moving ---- */

static bool is_movable(const struct placed_state *state, unsigned queue)
{
	const struct placed_queue *q = &state->queues[queue];
	const struct worker *worker;

	if (q->worker == PLACEMENT_NONE)
		return false;
	worker = device_queue_worker(state->placed->device, queue);
	return worker == state->placer->workers[q->worker].worker;
}

static unsigned list_queues(struct placed_state *state, uint64_t window_ns,
			    struct rebalance_queue *queues, struct movable *movables)
{
	struct placer *placer = state->placer;
	bool anywhere = (unsigned)CPU_COUNT(&state->workers) == placer->worker_cnt;
	unsigned cnt = 0;

	for (unsigned i = 0; i < state->queue_cnt; i++) {
		struct placed_queue *queue = &state->queues[i];
		struct placement_drivers drivers = {0};

		if (queue->worker == PLACEMENT_NONE)
			continue;
		if (!is_movable(state, i))
			continue;
		if (queue->rank != PLACEMENT_NONE)
			drivers = placement_drivers(state->group_cnt, state->home_cnt, queue->rank);
		movables[cnt] = (struct movable){.state = state, .queue = i};
		queues[cnt++] = (struct rebalance_queue){
			.worker = queue->worker,
			.load_permille = queue_load(placer, queue, window_ns),
			.movable = true,
			.allow_siblings = state->allow_siblings,
			.cpus = anywhere ? NULL : &state->cpus,
			.homes = drivers.cnt ? state->homes + drivers.first : NULL,
			.home_cnt = drivers.cnt,
		};
	}
	return cnt;
}

static bool may_rebalance(const struct placed_state *state)
{
	return placement_mode_rebalances(state->mode) && state->load_row && state->running_cnt &&
	       !state->moving && !state->settle.active;
}

static unsigned count_movable(const struct placer *placer)
{
	struct list_node *pos, *tmp;
	unsigned cnt = 0;

	list_for_each_safe(pos, tmp, &placer->states) {
		const struct placed_state *state = list_entry(pos, struct placed_state, node);

		if (may_rebalance(state))
			cnt += state->queue_cnt;
	}
	return cnt;
}

/* Whom a move is about: one of those that were listed. */
static const struct movable *moved(const struct movable *movables,
				   const struct rebalance_move *move)
{
	const struct movable *movable = &movables[move->queue];

	CHECK(movable->state);
	return movable;
}

static void log_moves(const struct movable *movables, const struct rebalance_move *moves,
		      unsigned cnt)
{
	char text[320] = "";
	size_t used = 0;

	for (unsigned i = 0; i < cnt; i++) {
		const struct movable *movable = moved(movables, &moves[i]);
		int len = snprintf(text + used, sizeof(text) - used,
				   "%s%s queue %u from worker %u to %u", used ? "; " : "",
				   movable->state->placed->tag, movable->queue, moves[i].from,
				   moves[i].to);

		if (len < 0 || (size_t)len >= sizeof(text) - used) {
			snprintf(text + used, sizeof(text) - used, "; ...");
			break;
		}
		used += (size_t)len;
	}
	log_info(NULL, "%u queues leave busy workers: %s", cnt, text);
}

static void carry_out(struct placer *placer, const struct movable *movables,
		      const struct rebalance_move *moves, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		const struct movable *movable = moved(movables, &moves[i]);
		struct placed_state *state = movable->state;

		if (!state->moving) {
			placer_moves_begin(state);
			state->opened = true;
		}
		state->queues[movable->queue].by_load = true;
		placer_count_queue(state, movable->queue, moves[i].to);
		device_queue_move(state->placed->device, movable->queue,
				  placer->workers[moves[i].to].worker, &state->moves);
	}
	for (unsigned i = 0; i < cnt; i++) {
		struct placed_state *state = moved(movables, &moves[i])->state;

		if (state->opened) {
			state->opened = false;
			placer_moves_end(state);
		}
	}
}

static bool is_any_saturated(const struct placer *placer)
{
	for (unsigned i = 0; i < placer->worker_cnt; i++) {
		if (placer->workers[i].busy_permille > rebalance_policy_default.saturated_permille)
			return true;
	}
	return false;
}

/* Also in a round in which nothing can move: the decision counts rounds. */
static void decide(struct placer *placer, const struct rebalance_queue *queues, unsigned queue_cnt,
		   const struct movable *movables)
{
	struct rebalance_move moves[REBALANCE_MOVES_MAX];
	struct rebalance_input input = {
		.topology = &placer->topology,
		.policy = &rebalance_policy_default,
		.workers = placer->balance,
		.worker_cnt = placer->worker_cnt,
		.queues = queues,
		.queue_cnt = queue_cnt,
	};
	unsigned cnt;

	for (unsigned i = 0; i < placer->worker_cnt; i++) {
		placer->balance[i] = (struct rebalance_worker){
			.cpu = worker_cpu(placer->workers[i].worker),
			.busy_permille = placer->workers[i].busy_permille,
		};
	}
	cnt = rebalance_round(&input, &placer->rebalance, moves);
	if (cnt == 0)
		return;
	log_moves(movables, moves, cnt);
	carry_out(placer, movables, moves, cnt);
}

static void shift_load(struct placer *placer, uint64_t window_ns)
{
	unsigned room = is_any_saturated(placer) ? count_movable(placer) : 0, cnt = 0;
	struct rebalance_queue *queues = NULL;
	struct movable *movables = NULL;
	struct list_node *pos, *tmp;

	if (room) {
		queues = calloc(room, sizeof(*queues));
		movables = calloc(room, sizeof(*movables));
	}
	/* Without memory for it this round moves nothing, and the next one tries again. */
	list_for_each_safe(pos, tmp, &placer->states) {
		struct placed_state *state = list_entry(pos, struct placed_state, node);

		if (queues && movables && may_rebalance(state))
			cnt += list_queues(state, window_ns, queues + cnt, movables + cnt);
	}
	decide(placer, queues, cnt, movables);
	free(queues);
	free(movables);
}

static void balance(struct placer *placer, uint64_t window_ns)
{
	struct list_node *pos, *tmp;

	measure_workers(placer, window_ns);
	if (placer->worker_cnt < 2)
		return;
	list_for_each_safe(pos, tmp, &placer->states)
		measure_queues(list_entry(pos, struct placed_state, node));
	shift_load(placer, window_ns);
}

void placer_round_expired(struct evloop_timer *timer)
{
	struct placer *placer = container_of(timer, struct placer, round);
	uint64_t now_ns = clock_now_ns();

	if (now_ns > placer->round_begin_ns)
		balance(placer, now_ns - placer->round_begin_ns);
	begin_window(placer, now_ns);
	placer_look_again(placer);
	evloop_timer_set(placer->loop, &placer->round, now_ns + placer->round_ns);
}

void placer_set_round(struct placer *placer, uint64_t round_ns)
{
	uint64_t now_ns = clock_now_ns();
	struct list_node *pos, *tmp;

	placer->round_ns = round_ns;
	evloop_timer_cancel(placer->loop, &placer->round);
	list_for_each_safe(pos, tmp, &placer->states)
		measure_queues(list_entry(pos, struct placed_state, node));
	begin_window(placer, now_ns);
	placer->rebalance = (struct rebalance_state){0};
	if (round_ns) {
		evloop_timer_set(placer->loop, &placer->round, now_ns + round_ns);
		return;
	}
	for (unsigned i = 0; i < placer->worker_cnt; i++)
		placer->workers[i].busy_permille = 0;
}

unsigned placer_worker_busy_permille(const struct placer *placer, unsigned worker_idx)
{
	return worker_idx < placer->worker_cnt ? placer->workers[worker_idx].busy_permille : 0;
}
