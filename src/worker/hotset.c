/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hot set: which pollers are polled, when one leaves and what brings it back.
 * Not the turn (worker.c) and not the descriptors that wake (kick.c).
 *
 * Callbacks may add, remove and wake any poller. `cursor` is moved on when its poller leaves the
 * list; a turn polls no more than were hot at its start; `current` says after each callback
 * whether the poller that it was called on still belongs to this worker, for if not, its memory
 * may be gone.
 */
#include "base/check.h"
#include "worker/worker_priv.h"

void hotset_init(struct hotset *set)
{
	list_init(&set->hot);
	list_init(&set->cold);
	set->hot_cnt = 0;
	set->cursor = &set->hot;
	set->current = NULL;
}

static uint64_t poller_window(enum poll_mode mode, uint64_t poll_max_ns)
{
	switch (mode) {
	case POLL_MODE_ALWAYS:
		return UINT64_MAX;
	case POLL_MODE_NEVER:
		return 0;
	default:
		return poll_max_ns;
	}
}

static void poller_unlink(struct poller *poller)
{
	struct hotset *set = &poller->worker->set;

	if (poller->hot) {
		if (set->cursor == &poller->node)
			set->cursor = poller->node.next;
		set->hot_cnt--;
	}
	list_remove(&poller->node);
}

static void poller_link_hot(struct poller *poller)
{
	struct worker *worker = poller->worker;

	poller->hot = true;
	poller->last_work_ns = worker->now_ns;
	list_push_back(&worker->set.hot, &poller->node);
	worker->set.hot_cnt++;
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
 * The window is over: hot to cold, unless work arrived while prepare_sleep armed. The caller has
 * set `current`.
 */
static void poller_cool(struct poller *poller)
{
	struct worker *worker = poller->worker;
	struct hotset *set = &worker->set;
	uint64_t deadline_ns = 0;
	bool stay;

	if (poller->watch && !kick_watch_may_arm(poller->watch))
		return;
	stay = poller->ops->prepare_sleep(poller);
	if (set->current != poller)
		return;
	if (stay || poller->woken) {
		poller->last_work_ns = worker->now_ns;
		poller->ops->cancel_sleep(poller);
		return;
	}
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

unsigned hotset_poll(struct worker *worker)
{
	struct hotset *set = &worker->set;
	const uint64_t now_ns = worker->now_ns;
	struct poller *poller;
	unsigned total = 0;
	unsigned did;

	set->cursor = set->hot.next;
	for (unsigned left = set->hot_cnt; left > 0 && set->cursor != &set->hot; left--) {
		poller = list_entry(set->cursor, struct poller, node);
		set->cursor = poller->node.next;
		set->current = poller;
		poller->woken = false;
		did = poller->ops->poll(poller, now_ns);
		total += did;
		if (set->current != poller)
			continue;
		if (did > 0)
			poller->last_work_ns = now_ns;
		else if (now_ns - poller->last_work_ns >= poller->window_ns && !poller->woken)
			poller_cool(poller);
	}
	set->current = NULL;
	set->cursor = &set->hot;
	return total;
}

void worker_poller_add(struct worker *worker, struct poller *poller)
{
	poller->worker = worker;
	poller->watch = NULL;
	poller->woken = false;
	poller->window_ns = poller_window(poller->mode, poller->poll_max_ns);
	poller->deadline = (struct worker_timer){.expired = poller_deadline_expired};
	list_init(&poller->node);
	poller_link_hot(poller);
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
}

void worker_poller_wake(struct poller *poller)
{
	poller->woken = true;
	if (!poller->hot)
		poller_heat(poller);
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

void worker_poller_set_mode(struct poller *poller, enum poll_mode mode, uint64_t poll_max_ns)
{
	poller->mode = mode;
	poller->poll_max_ns = poll_max_ns;
	poller->window_ns = poller_window(mode, poll_max_ns);
	poller->last_work_ns = poller->worker->now_ns;
	if (mode == POLL_MODE_ALWAYS)
		worker_poller_wake(poller);
}
