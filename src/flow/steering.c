/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptions of steering are judged when they are made, so that the choice needs no checks.
 * Not a policy.
 */
#include "flow/steering.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/compiler.h"

/* Control threads of tests may be several. */
static atomic_uint_fast64_t generations;

static bool is_power_of_two(unsigned v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

static bool has_hash(const struct steering_options *options)
{
	return options->kind == STEERING_TABLE || options->types != 0;
}

static int judge_hash(const struct steering_options *options, struct err *err)
{
	if (options->types & ~HASH_TYPES_ALL)
		return err_set(err, EINVAL, "hash types 0x%x: only those in 0x%x are known",
			       options->types, HASH_TYPES_ALL);
	if (options->key_bytes < 1 || options->key_bytes > TOEPLITZ_KEY_BYTES)
		return err_set(err, EINVAL, "key of %u bytes: 1 to %u are allowed",
			       options->key_bytes, TOEPLITZ_KEY_BYTES);
	return 0;
}

static int judge_table(const struct steering_options *options, unsigned queue_cnt, struct err *err)
{
	if (!is_power_of_two(options->table_cnt) || options->table_cnt > STEERING_TABLE_MAX)
		return err_set(err, EINVAL,
			       "table of %u entries: it must be a power of two, 1 to %u",
			       options->table_cnt, STEERING_TABLE_MAX);
	for (unsigned i = 0; i < options->table_cnt; i++) {
		if (options->table[i] >= queue_cnt)
			return err_set(err, EINVAL,
				       "table entry %u: there is no queue %u, give 0 to %u", i,
				       options->table[i], queue_cnt - 1);
	}
	if (options->unclassified >= queue_cnt)
		return err_set(err, EINVAL,
			       "unclassified frames: there is no queue %u, give 0 to %u",
			       options->unclassified, queue_cnt - 1);
	return 0;
}

static int judge(const struct steering_options *options, unsigned queue_cnt, struct err *err)
{
	if (queue_cnt < 1 || queue_cnt > STEERING_QUEUES_MAX)
		return err_set(err, EINVAL, "%u queues to steer to: 1 to %u are allowed", queue_cnt,
			       STEERING_QUEUES_MAX);
	if (has_hash(options)) {
		int rc = judge_hash(options, err);

		if (rc)
			return rc;
	}
	switch (options->kind) {
	case STEERING_SPREAD:
	case STEERING_LEARN:
		return 0;
	case STEERING_TABLE:
		return judge_table(options, queue_cnt, err);
	}
	return err_set(err, EINVAL, "steering of kind %u: it is not known",
		       (unsigned)options->kind);
}

int steering_new(const struct steering_options *options, unsigned queue_cnt, struct steering **out,
		 struct err *err)
{
	struct steering *steering;
	int rc = judge(options, queue_cnt, err);

	*out = NULL;
	if (rc)
		return rc;
	steering = calloc(1, sizeof(*steering));
	if (!steering)
		return err_set(err, ENOMEM, "no memory for steering");
	steering->options = *options;
	steering->generation = atomic_fetch_add(&generations, 1) + 1;
	if (has_hash(options))
		toeplitz_init(&steering->toeplitz, options->key, options->key_bytes);
	*out = steering;
	return 0;
}

void steering_free(struct steering *steering)
{
	free(steering);
}

static ALWAYS_INLINE void choose(const struct steering *steering, const uint8_t *head,
				 unsigned head_bytes, const struct dissection *d,
				 struct steering_choice *choice)
{
	const struct steering_options *options = &steering->options;
	struct flow_hash flow = {0};

	*choice = (struct steering_choice){.bucket = STEERING_NO_BUCKET};
	if (options->types) {
		flow = toeplitz_frame(&steering->toeplitz, options->types, head, head_bytes, d);
		choice->flow = flow;
	}
	if (options->kind != STEERING_TABLE) {
		choice->spread = dissect_flow_hash(head, head_bytes, d);
	} else if (flow.report) {
		choice->bucket = (uint16_t)(flow.hash & (options->table_cnt - 1));
		choice->queue = options->table[choice->bucket];
	} else {
		choice->queue = options->unclassified;
	}
}

/* What carries no IP stays with its tunnel, whose source port is made of what is inside. */
static NOINLINE void choose_inner(const struct steering *steering, const uint8_t *head,
				  unsigned head_bytes, const struct dissection *d,
				  struct steering_choice *choice)
{
	struct dissection inner;
	unsigned at = dissect_inner(head, head_bytes, d, &inner);

	if (at && inner.l3 != DISSECT_L3_OTHER)
		choose(steering, head + at, head_bytes - at, &inner, choice);
	else
		choose(steering, head, head_bytes, d, choice);
}

void steering_choose(const struct steering *steering, const uint8_t *head, unsigned head_bytes,
		     const struct dissection *d, struct steering_choice *choice)
{
	if (unlikely(steering->options.inner))
		choose_inner(steering, head, head_bytes, d, choice);
	else
		choose(steering, head, head_bytes, d, choice);
}

unsigned steering_spread(uint32_t hash, uint64_t usable)
{
	unsigned cnt, nth;

	CHECK(usable != 0);
	/* By the high bits of the hash; the low ones choose a set of the flow table. */
	if (likely((usable & (usable + 1)) == 0)) {
		/* Queues 0 to cnt - 1, as nearly always. */
		cnt = 64 - (unsigned)__builtin_clzll(usable);
		return (unsigned)((uint64_t)hash * cnt >> 32);
	}
	cnt = (unsigned)__builtin_popcountll(usable);
	nth = (unsigned)((uint64_t)hash * cnt >> 32);
	while (nth--)
		usable &= usable - 1;
	return (unsigned)__builtin_ctzll(usable);
}
