/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot set: which pollers are polled, when one leaves and what brings it back.
 * Not the turn (worker.c) and not the descriptors that wake (kick.c).
 *
 * Callbacks may add, remove and wake any poller. `cursor` is moved on when its poller leaves the
 * list; a turn polls no more pollers than were hot at its start; `current` says after each callback
 * whether the poller that it was called on still belongs to this worker, for if not, its memory
 * may be gone.
 */
#include "base/check.h"
#include "base/clock.h"
#include "worker/worker_priv.h"

/*
 * One turn in so many is measured for load_ns. The distance from one to the next varies evenly
 * around that, so that no load with a period of its own is met always or never.
 */
#define MEASURE_EVERY 64u
#define MEASURE_SPREAD 31u

/*
 * Mode always: after so long without work a poller rests. Each look at an idle ring is a miss of
 * the cache or two, some 50 ns. While others are polled that do not rest, one is spent for every
 * REST_EVERY_NS, a hundredth of the time; else REST_VISITS on each turn, which is all of them where
 * there are few. By time and not by turns: a neighbour can make turns of milliseconds, and the
 * driver of one that rests is told not to kick.
 */
#define REST_AFTER_NS (1000 * 1000)
#define REST_EVERY_NS 4000u
#define REST_VISITS 16u

void hotset_init(struct hotset *set)
{
	list_init(&set->hot);
	list_init(&set->resting);
	list_init(&set->cold);
	set->hot_cnt = 0;
	set->resting_cnt = 0;
	set->visited_ns = 0;
	set->cursor = &set->hot;
	set->current = NULL;
	set->unmeasured_left = MEASURE_EVERY;
	set->random = 1;
}

/* The window of the mode, with nothing learnt. */
static void poller_begin_window(struct poller *poller)
{
	switch (poller->mode) {
	case POLL_MODE_ALWAYS:
		poller->window = poll_window_start(UINT64_MAX);
		poller->window.spin_ns = REST_AFTER_NS;
		break;
	case POLL_MODE_NEVER:
		poller->window = poll_window_start(0);
		break;
	default:
		poller->window = poll_window_start(poller->poll_max_ns);
		break;
	}
	/* Those two have nothing to learn: no gap is longer. */
	if (poller->mode != POLL_MODE_ADAPTIVE)
		poller->window.longest_ns = UINT64_MAX;
	poller->slept = false;
	poller->worked_ns = poller->worker->now_ns;
	poller->spin_from_ns = poller->worker->now_ns;
	store_relaxed(&poller->window_ns, poller->window.window_ns);
}

/* What was waited for has come: gap_ns after the last work. */
static NOINLINE void poller_learn(struct poller *poller, uint64_t gap_ns)
{
	if (poller->mode == POLL_MODE_ADAPTIVE) {
		poller->window =
			poller->slept
				? poll_window_slept(poller->window, gap_ns, poller->poll_max_ns)
				: poll_window_met(poller->window, gap_ns, poller->poll_max_ns);
		store_relaxed(&poller->window_ns, poller->window.window_ns);
	}
	poller->slept = false;
}

/* The poller waited as long as it may: from here on its next work is one that it slept for. */
static void poller_end_spin(struct poller *poller)
{
	poller->slept = true;
	poller->spin_from_ns = poller->worker->now_ns;
	poller->window.spin_ns = poller->window.window_ns; /* if it was a probe, it failed */
}

static void poller_unlink(struct poller *poller)
{
	struct hotset *set = &poller->worker->set;

	if (poller->hot) {
		if (set->cursor == &poller->node)
			set->cursor = poller->node.next;
		set->hot_cnt--;
		set->resting_cnt -= poller->resting;
		poller->resting = false;
		store_relaxed(&poller->worker->stats.hot_pollers, set->hot_cnt);
	}
	list_remove(&poller->node);
}

static void poller_link_hot(struct poller *poller)
{
	struct worker *worker = poller->worker;

	poller->hot = true;
	poller->spin_from_ns = worker->now_ns;
	list_push_back(&worker->set.hot, &poller->node);
	worker->set.hot_cnt++;
	store_relaxed(&worker->stats.hot_pollers, worker->set.hot_cnt);
}

/* Mode always; again for one that rests, to let the others have their turns before it. */
static void poller_rest(struct poller *poller)
{
	struct hotset *set = &poller->worker->set;

	set->resting_cnt += !poller->resting;
	poller->resting = true;
	list_remove(&poller->node);
	list_push_back(&set->resting, &poller->node);
}

static void poller_end_rest(struct poller *poller)
{
	struct hotset *set = &poller->worker->set;

	set->resting_cnt--;
	poller->resting = false;
	poller->spin_from_ns = poller->worker->now_ns;
	list_remove(&poller->node);
	list_push_back(&set->hot, &poller->node);
}

/* Cold to hot. Nothing is touched after cancel_sleep: it may remove the poller. */
static void poller_heat(struct poller *poller)
{
	CHECK(poller->worker);
	timers_cancel(&poller->worker->timers, &poller->deadline);
	poller_unlink(poller);
	poller_link_hot(poller);
	poller->ops->cancel_sleep(poller);
}

static void poller_deadline_expired(struct worker *worker, struct worker_timer *timer)
{
	(void)worker;
	poller_heat(container_of(timer, struct poller, deadline));
}

/*
 * Mode always, where the window is over. Who rests is polled when there is time for it, so not one
 * that has a deadline.
 */
static void poller_rest_or_stay(struct poller *poller)
{
	struct hotset *set = &poller->worker->set;
	uint64_t deadline_ns = 0;

	if (poller->ops->next_deadline)
		deadline_ns = poller->ops->next_deadline(poller);
	if (set->current != poller)
		return;
	if (deadline_ns == 0)
		poller_rest(poller);
	else if (poller->resting)
		poller_end_rest(poller);
}

/*
 * The window is over: hot to cold, unless work arrived while prepare_sleep armed. The caller has
 * set `current`.
 */
static void poller_cool(struct poller *poller)
{
	struct worker *worker = poller->worker;
	struct hotset *set = &worker->set;
	uint64_t deadline_ns = 0;
	bool stay;

	if (poller->mode == POLL_MODE_ALWAYS) {
		poller_rest_or_stay(poller);
		return;
	}
	if (poller->watch && !kick_watch_may_arm(poller->watch))
		return;
	stay = poller->ops->prepare_sleep(poller);
	if (set->current != poller)
		return;
	poller_end_spin(poller);
	if (stay || poller->woken) {
		poller->ops->cancel_sleep(poller);
		return;
	}
	stat_inc(&worker->stats.coolings);
	poller_unlink(poller);
	poller->hot = false;
	list_push_back(&set->cold, &poller->node);
	if (poller->watch)
		kick_watch_arm(poller->watch);
	if (poller->ops->next_deadline)
		deadline_ns = poller->ops->next_deadline(poller);
	if (deadline_ns != 0 && set->current == poller && !poller->hot)
		timers_set(&worker->timers, &poller->deadline, deadline_ns);
}

static bool poller_spins(const struct poller *poller, uint64_t now_ns)
{
	const uint64_t from_ns = poller->spin_from_ns > poller->worked_ns ? poller->spin_from_ns
									  : poller->worked_ns;

	return now_ns - from_ns < poller->window.spin_ns;
}

/* Charges a poll that did work; the poller is still there. */
static void poller_charge(struct poller *poller, uint64_t start_ns)
{
	if (poller->load_ns)
		stat_add(poller->load_ns, (clock_now_ns() - start_ns) * MEASURE_EVERY);
}

/* Returns the work done. set->current says whether the poller is still there. */
static ALWAYS_INLINE unsigned hotset_poll_one(struct worker *worker, struct poller *poller,
					      const bool measured)
{
	struct hotset *set = &worker->set;
	const uint64_t now_ns = worker->now_ns;
	const uint64_t start_ns = measured ? clock_now_ns() : 0;
	uint64_t gap_ns;
	unsigned did;

	set->current = poller;
	poller->woken = false;
	did = poller->ops->poll(poller, now_ns);
	if (set->current != poller)
		return did;
	if (did > 0) {
		if (measured)
			poller_charge(poller, start_ns);
		gap_ns = now_ns - poller->worked_ns;
		if (unlikely(poller->slept || gap_ns > poller->window.longest_ns))
			poller_learn(poller, gap_ns);
		poller->worked_ns = now_ns;
	} else if (!poller_spins(poller, now_ns) && !poller->woken) {
		poller_cool(poller);
	}
	return did;
}

/* How many of those that rest are looked at in this turn. */
static unsigned hotset_visits(struct worker *worker, bool busy)
{
	struct hotset *set = &worker->set;
	uint64_t cnt = REST_VISITS;

	if (busy)
		cnt = (worker->now_ns - set->visited_ns) / REST_EVERY_NS;
	if (cnt > 0)
		set->visited_ns = worker->now_ns;
	return cnt < set->resting_cnt ? (unsigned)cnt : set->resting_cnt;
}

/* Some of those that rest, the one first that waits longest. */
static NOINLINE unsigned hotset_visit_resting(struct worker *worker, bool busy, bool measured)
{
	struct hotset *set = &worker->set;
	struct poller *poller;
	unsigned total = 0;
	unsigned did;

	for (unsigned left = hotset_visits(worker, busy); left > 0 && !list_empty(&set->resting);
	     left--) {
		poller = list_entry(set->resting.next, struct poller, node);
		did = hotset_poll_one(worker, poller, measured);
		total += did;
		if (did > 0 && set->current == poller && poller->resting)
			poller_end_rest(poller);
	}
	return total;
}

static ALWAYS_INLINE unsigned hotset_turn(struct worker *worker, const bool measured)
{
	struct hotset *set = &worker->set;
	struct poller *poller;
	unsigned total = 0;
	unsigned did;

	set->cursor = set->hot.next;
	for (unsigned left = set->hot_cnt; left > 0 && set->cursor != &set->hot; left--) {
		poller = list_entry(set->cursor, struct poller, node);
		set->cursor = poller->node.next;
		did = hotset_poll_one(worker, poller, measured);
		total += did;
		/*
		 * Without a window the next poll is its last if it finds nothing. Made now, it
		 * comes before the ring is entered, and the same entry submits and sleeps.
		 */
		if (did > 0 && set->current == poller && poller->window.spin_ns == 0)
			total += hotset_poll_one(worker, poller, measured);
	}
	set->cursor = &set->hot;
	/* Not by this turn's work: a request may be on its way to one that is polled. */
	if (unlikely(set->resting_cnt > 0))
		total += hotset_visit_resting(worker, set->hot_cnt > set->resting_cnt, measured);
	set->current = NULL;
	return total;
}

static NOINLINE unsigned hotset_poll_measured(struct worker *worker)
{
	struct hotset *set = &worker->set;

	/* Numerical Recipes' generator; the upper bits are the better ones. */
	set->random = set->random * 1664525u + 1013904223u;
	set->unmeasured_left =
		MEASURE_EVERY - MEASURE_SPREAD + (set->random >> 16) % (2 * MEASURE_SPREAD + 1);
	return hotset_turn(worker, true);
}

unsigned hotset_poll(struct worker *worker)
{
	if (unlikely(--worker->set.unmeasured_left == 0))
		return hotset_poll_measured(worker);
	return hotset_turn(worker, false);
}

void worker_poller_add(struct worker *worker, struct poller *poller)
{
	poller->worker = worker;
	poller->watch = NULL;
	poller->woken = false;
	poller->resting = false;
	poller_begin_window(poller);
	poller->deadline = (struct worker_timer){.expired = poller_deadline_expired};
	list_init(&poller->node);
	poller_link_hot(poller);
	stat_add(&worker->stats.pollers, 1);
}

void worker_poller_remove(struct poller *poller)
{
	struct worker *worker = poller->worker;

	CHECK(worker);
	timers_cancel(&worker->timers, &poller->deadline);
	poller_unlink(poller);
	poller->hot = false;
	if (poller->watch)
		kick_watch_close(poller->watch);
	poller->watch = NULL;
	if (worker->set.current == poller)
		worker->set.current = NULL;
	poller->worker = NULL;
	store_relaxed(&worker->stats.pollers, worker->stats.pollers - 1);
}

void worker_poller_wake(struct poller *poller)
{
	poller->woken = true;
	if (!poller->hot)
		poller_heat(poller);
	else if (poller->resting)
		poller_end_rest(poller);
}

int worker_poller_set_kick(struct poller *poller, int kick_fd)
{
	int rc = 0;

	if (poller->watch)
		kick_watch_close(poller->watch);
	poller->watch = NULL;
	if (kick_fd >= 0)
		rc = kick_watch_open(poller, kick_fd, &poller->watch);
	worker_poller_wake(poller);
	return rc;
}

bool worker_poller_arm_kick(struct poller *poller)
{
	if (!poller->watch || !kick_watch_may_arm(poller->watch))
		return false;
	kick_watch_arm(poller->watch);
	uring_submit(&poller->worker->uring);
	return true;
}

void worker_poller_set_mode(struct poller *poller, enum poll_mode mode, uint64_t poll_max_ns)
{
	const bool same = mode == poller->mode && poll_max_ns == poller->poll_max_ns;

	/* Whoever changes something else of a queue says the same again: what was learnt stays. */
	if (same)
		return;
	poller->mode = mode;
	poller->poll_max_ns = poll_max_ns;
	poller_begin_window(poller);
	/* What was put off under the former mode is judged anew under this one. */
	if (mode == POLL_MODE_ALWAYS || poller->deadline.running || poller->resting)
		worker_poller_wake(poller);
}
