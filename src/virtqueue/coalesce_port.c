/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision when a port's call is due. Not the call (notify.c), nor what it goes by
 * (coalesce_measure.c).
 */
#include "base/compiler.h"
#include "virtqueue/coalesce_port_priv.h"

unsigned coalesce_port_asks(const struct coalesce_config *config,
			    const struct coalesce_port_state *state, uint64_t now_ns)
{
	unsigned asks = 0;

	if (config->mode == COALESCE_ADAPTIVE) {
		if (now_ns - state->epoch_ns >= COALESCE_PORT_EPOCH_NS)
			asks |= COALESCE_ASKS_SENT | COALESCE_ASKS_FREE;
		if (state->hold_ns == 0 || state->answers || state->skip_left > 0)
			return asks;
	}
	if (state->due_ns == 0)
		asks |= COALESCE_ASKS_FREE;
	return asks;
}

/* ---- buffers ---- */

static void note_peak(uint64_t *peak, uint64_t value)
{
	*peak -= (*peak + COALESCE_PEAK_DECAY - 1) / COALESCE_PEAK_DECAY;
	if (value > *peak)
		*peak = value;
}

/* What the driver has posted, ever, by the count of now: did it post since the last wanted call? */
static void watch_refill(struct coalesce_port_state *state, const struct coalesce_port_input *input)
{
	const uint64_t posted = state->used_total + input->free_cnt;
	const bool grew = posted > state->posted_cnt;
	uint64_t cnt, ns;

	state->posted_cnt = posted;
	if (!state->call_open || !grew)
		return;
	/* What has come just now came before the count, so it is within. */
	cnt = state->used_total - state->call_used;
	ns = input->now_ns - state->call_ns;
	/* The count may be much later than the posting. */
	if (ns > NS_PER_S / 1000)
		ns = NS_PER_S / 1000;
	note_peak(&state->refill_cnt, cnt);
	note_peak(&state->refill_ns, ns);
	state->refill_known = true;
	state->call_open = false;
}

/* How many entries of the ring may wait; all of them were posted when the hold began. */
static uint64_t static_budget(const struct coalesce_port_state *state, uint64_t posted)
{
	const uint64_t room = posted * COALESCE_REDUNDANCY_DEN / COALESCE_REDUNDANCY_NUM;

	if (!state->refill_known)
		return posted / 4;
	return room > state->refill_cnt ? room - state->refill_cnt : 0;
}

/* The least that was left lately; also of a clock that went back. */
static void watch_low(struct coalesce_port_state *state, const struct coalesce_port_input *input)
{
	const uint64_t elapsed_ns = input->now_ns - state->window_ns;

	if (elapsed_ns >= COALESCE_LOW_NS) {
		state->window_ns = input->now_ns;
		state->free_low[1] = elapsed_ns < 2 * COALESCE_LOW_NS ? state->free_low[0]
								      : UINT64_MAX;
		state->free_low[0] = UINT64_MAX;
	}
	if (input->free_cnt < state->free_low[0])
		state->free_low[0] = input->free_cnt;
}

static uint64_t less_of(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t without(uint64_t cnt, uint64_t reserve)
{
	return cnt > reserve ? cnt - reserve : 0;
}

/*
 * What is held puts off the guest's work by that much, until it is idle again. So it must also fit
 * beside the most work that it had lately.
 */
static uint64_t adaptive_budget(const struct coalesce_port_state *state, uint64_t posted)
{
	const uint64_t by_rate =
		state->rate * (state->refill_ns / NS_PER_US) / (NS_PER_S / NS_PER_US);
	const uint64_t low = less_of(state->free_low[0], state->free_low[1]);
	uint64_t coming = state->refill_cnt > by_rate ? state->refill_cnt : by_rate;
	uint64_t room;

	if (!state->refill_known || coming < COALESCE_RESERVE_CNT)
		coming = COALESCE_RESERVE_CNT;
	room = without(posted * COALESCE_REDUNDANCY_DEN / COALESCE_REDUNDANCY_NUM, coming);
	/* More, once it was seen for a while how few there may be. */
	room = less_of(room, without(posted, COALESCE_RESERVE_CNT) /
				     (state->free_low[1] == UINT64_MAX ? 4 : 2));
	return less_of(room, without(low, COALESCE_RESERVE_CNT));
}

static void begin_budget(const struct coalesce_config *config, struct coalesce_port_state *state,
			 const struct coalesce_port_input *input)
{
	const uint64_t posted = (uint64_t)input->free_cnt + input->used_cnt;

	if (!input->receive) {
		state->budget_cnt = input->size / COALESCE_TX_SHARE;
		return;
	}
	watch_refill(state, input);
	watch_low(state, input);
	state->budget_cnt = config->mode == COALESCE_ADAPTIVE ? adaptive_budget(state, posted)
							      : static_budget(state, posted);
}

/* ---- experience ---- */

static void lose_trust(struct coalesce_port_state *state)
{
	state->trusted_epochs = 0;
	state->trust = 1; /* one trial when it is over */
	if (state->skip_next < COALESCE_SKIP_MIN)
		state->skip_next = COALESCE_SKIP_MIN;
	state->skip_left = state->skip_next;
	if (state->skip_next < COALESCE_SKIP_MAX)
		state->skip_next *= 2;
	if (state->regained) {
		state->regain_next = state->regain_next ? 2 * state->regain_next : 2;
		if (state->regain_next > COALESCE_REGAIN_MAX)
			state->regain_next = COALESCE_REGAIN_MAX;
	}
	state->regained = false;
	state->regain_left = state->regain_next;
}

/* Somebody waits for what is held: it is not a stream at all. */
static bool harmful(const struct coalesce_port_state *state)
{
	return state->held_rate * COALESCE_HARM_DEN < state->free_rate * COALESCE_HARM_NUM;
}

/* A call was held, and is due: did holding it bring anything? */
static void learn(struct coalesce_port_state *state, enum coalesce_verdict verdict)
{
	if (state->held_cnt == state->first_cnt)
		state->trust = (int8_t)(state->trust - COALESCE_TRUST_MAX / 2);
	else if (verdict == COALESCE_DUE_QUIET && (!state->stream || harmful(state)))
		state->trust = (int8_t)(state->trust - 1);
	else if (verdict != COALESCE_DUE_QUIET ||
		 (state->held_cnt >= state->first_cnt + COALESCE_TRAIN_CNT &&
		  state->trust < COALESCE_TRUST_MAX - 1))
		state->trust = (int8_t)(state->trust + 1);
	if (state->trust <= 0) {
		lose_trust(state);
	} else if (state->trust >= COALESCE_TRUST_MAX ||
		   state->trusted_epochs >= COALESCE_TRUST_EPOCHS) {
		if (state->trust > COALESCE_TRUST_MAX)
			state->trust = COALESCE_TRUST_MAX;
		state->skip_next = 0;
		state->regain_next = 0;
		state->regained = false;
	}
}

/* ---- the decision ---- */

static uint64_t quiet_ns(const struct coalesce_port_state *state)
{
	const uint64_t ns = COALESCE_QUIET_GAPS * state->gap_ns;

	return ns > COALESCE_QUIET_NS_MIN ? ns : COALESCE_QUIET_NS_MIN;
}

/* May a hold begin? COALESCE_HOLD: it may. */
static enum coalesce_verdict may_begin(struct coalesce_port_state *state)
{
	if (state->answers)
		return COALESCE_DUE_ANSWERS;
	if (state->hold_ns == 0)
		return COALESCE_DUE_RATE;
	if (state->skip_left > 0) {
		state->skip_left--;
		return COALESCE_DUE_BARREN;
	}
	return COALESCE_HOLD;
}

/* Within these a call may be held. */
struct port_bounds {
	uint64_t cnt;
	uint64_t ns;
	uint64_t next_ns; /* no sooner more comes; 0: that is not known */
	uint64_t quiet_ns;
};

static enum coalesce_verdict within(struct coalesce_port_state *state,
				    const struct coalesce_port_input *input,
				    const struct port_bounds *bounds)
{
	const uint64_t waited_ns = input->now_ns - state->first_ns;
	const uint64_t still_ns = input->now_ns - state->last_ns;
	uint64_t quiet_at_ns;

	if (state->held_cnt >= bounds->cnt)
		return COALESCE_DUE_PACKETS;
	/* A clock that went back has waited long, too. */
	if (waited_ns >= bounds->ns || waited_ns + bounds->next_ns > bounds->ns)
		return COALESCE_DUE_DEADLINE;
	if (still_ns >= bounds->quiet_ns)
		return COALESCE_DUE_QUIET;
	if (input->used_cnt > state->budget_cnt)
		return COALESCE_DUE_BUFFERS;
	quiet_at_ns = bounds->quiet_ns == UINT64_MAX ? UINT64_MAX
						     : state->last_ns + bounds->quiet_ns;
	state->due_ns = state->first_ns + bounds->ns;
	if (quiet_at_ns < state->due_ns)
		state->due_ns = quiet_at_ns;
	return COALESCE_HOLD;
}

static enum coalesce_verdict decide_static(const struct coalesce_config *config,
					   struct coalesce_port_state *state,
					   const struct coalesce_port_input *input)
{
	const struct port_bounds bounds = {
		.cnt = config->packets,
		.ns = (uint64_t)config->usecs * NS_PER_US,
		.quiet_ns = UINT64_MAX,
	};

	return within(state, input, &bounds);
}

static enum coalesce_verdict decide_adaptive(const struct coalesce_config *config,
					     struct coalesce_port_state *state,
					     const struct coalesce_port_input *input)
{
	const bool held = state->due_ns != 0;
	struct port_bounds bounds;
	enum coalesce_verdict verdict;

	if (!held) {
		verdict = may_begin(state);
		if (verdict != COALESCE_HOLD)
			return verdict;
	}
	bounds = (struct port_bounds){
		.cnt = state->hold_cnt < config->packets ? state->hold_cnt : config->packets,
		.ns = state->hold_ns,
		/* A wait that brings nothing along is for nothing. */
		.next_ns = input->new_cnt > 0 ? state->gap_ns : 0,
		.quiet_ns = quiet_ns(state),
	};
	verdict = within(state, input, &bounds);
	state->epoch_holds += verdict == COALESCE_HOLD;
	if (held && verdict != COALESCE_HOLD && verdict != COALESCE_DUE_BUFFERS)
		learn(state, verdict);
	return verdict;
}

static void count_new(const struct coalesce_config *config, struct coalesce_port_state *state,
		      const struct coalesce_port_input *input)
{
	if (state->held_cnt == 0) {
		state->first_ns = input->now_ns;
		state->first_cnt = input->new_cnt;
		state->early_ns = 0;
	}
	state->held_cnt += input->new_cnt;
	state->early_ns += input->new_cnt * (input->now_ns - state->first_ns);
	state->used_total += input->used_cnt - state->used_seen;
	state->used_seen = input->used_cnt;
	if (config->mode == COALESCE_ADAPTIVE)
		coalesce_measure_burst(config, state, input);
	else
		state->last_ns = input->now_ns;
}

enum coalesce_verdict coalesce_decide_port(const struct coalesce_config *config,
					   struct coalesce_port_state *state,
					   const struct coalesce_port_input *input)
{
	enum coalesce_verdict verdict;

	state->now_ns = input->now_ns;
	if (input->new_cnt > 0)
		count_new(config, state, input);
	if (input->asks & COALESCE_ASKS_FREE)
		begin_budget(config, state, input);
	verdict = config->mode == COALESCE_ADAPTIVE ? decide_adaptive(config, state, input)
						    : decide_static(config, state, input);
	if (verdict != COALESCE_HOLD && state->due_ns != 0)
		state->sample_wait_ns +=
			state->held_cnt * (input->now_ns - state->first_ns) - state->early_ns;
	return verdict;
}

void coalesce_port_called(struct coalesce_port_state *state, bool wanted)
{
	state->due_ns = 0;
	state->held_cnt = 0;
	state->used_seen = 0;
	if (!wanted)
		return;
	state->sample_calls++;
	state->call_ns = state->now_ns;
	state->call_used = state->used_total;
	state->call_open = true;
}

void coalesce_port_configured(const struct coalesce_config *config,
			      struct coalesce_port_state *state, bool receive)
{
	coalesce_measure_target(config, state, receive);
	if (state->due_ns != 0)
		state->due_ns = 1;
}

void coalesce_port_target(const struct coalesce_config *config,
			  const struct coalesce_port_state *state, uint32_t *packets,
			  uint32_t *usecs)
{
	*packets = config->packets;
	*usecs = config->usecs;
	if (config->mode != COALESCE_ADAPTIVE)
		return;
	*packets = 1;
	*usecs = 0;
	if (state->hold_ns == 0 || state->answers || state->skip_left > 0)
		return;
	*packets =
		(uint32_t)(state->hold_cnt < config->packets ? state->hold_cnt : config->packets);
	*usecs = (uint32_t)(state->hold_ns / NS_PER_US);
}
