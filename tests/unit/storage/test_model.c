/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random operations on every kind of place, compared with an array of bytes.
 * Not errors: everything asked for here can be done.
 *
 * PARIO_TEST_SEED repeats a run; a failure says which seed it was.
 */
#include "places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"
#include "base/overflow.h"

#define DISK_BYTES (8 * MIB)
#define BURST_MAX 16u
#define ROUNDS 150u
/* Operations of a burst lie in stripes of their own: overlapping ones would have no order. */
#define STRIPE_BYTES (DISK_BYTES / BURST_MAX)
#define IOV_CNT_MAX 1500u
/* Cuts within the data, and room to place each segment at any address. */
#define ARENA_BYTES (STRIPE_BYTES + IOV_CNT_MAX * 1024)

static uint64_t random_state;

static uint32_t random_u32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 32);
}

static uint64_t random_below(uint64_t limit)
{
	return ((uint64_t)random_u32() << 16 ^ random_u32()) % limit;
}

struct model_op {
	struct storage_op op;
	struct iovec iov[IOV_CNT_MAX];
	uint8_t *arena;
};

struct model {
	struct placed placed;
	uint32_t block_bytes;
	uint8_t *bytes;
	struct model_op *ops;
	uint8_t *scratch;
};

/* Mostly small, sometimes the whole stripe. */
static uint64_t random_len(uint64_t unit, uint64_t max)
{
	uint64_t limit = random_u32() % 8 == 0 ? max : 16 * unit < max ? 16 * unit : max;

	return unit + random_below(limit / unit) * unit;
}

/* How segments are cut: well behaved, at sectors, anywhere. */
static void cut_iov(struct model_op *m, uint64_t len)
{
	unsigned style = random_u32() % 4, cnt = 0;
	uint8_t *at = m->arena;

	while (len > 0) {
		uint64_t n = len;

		if (cnt + 1 < IOV_CNT_MAX) {
			if (style == 1)
				n = 512 * (1 + random_below(8));
			else if (style == 2)
				n = 512;
			else if (style == 3)
				n = 1 + random_below(700);
		}
		if (n > len)
			n = len;
		if (style == 3)
			at += random_below(64);
		else if (style != 0)
			at += 512 * random_below(2);
		m->iov[cnt].iov_base = at;
		m->iov[cnt].iov_len = n;
		cnt++;
		at += n;
		len -= n;
	}
	m->op.iov = m->iov;
	m->op.iov_cnt = cnt;
}

static void gather(const struct model_op *m, uint8_t *to)
{
	for (unsigned i = 0; i < m->op.iov_cnt; i++) {
		memcpy(to, m->iov[i].iov_base, m->iov[i].iov_len);
		to += m->iov[i].iov_len;
	}
}

static void make_op(struct model *model, struct model_op *m, uint64_t stripe)
{
	static const enum storage_kind kinds[] = {
		STORAGE_READ,  STORAGE_READ,    STORAGE_READ,         STORAGE_WRITE, STORAGE_WRITE,
		STORAGE_WRITE, STORAGE_DISCARD, STORAGE_WRITE_ZEROES, STORAGE_FLUSH,
	};
	enum storage_kind kind = kinds[random_u32() % ARRAY_LEN(kinds)];
	uint64_t unit = kind == STORAGE_READ ? 512 : model->block_bytes;
	uint64_t len = random_len(unit, STRIPE_BYTES);
	uint64_t offset =
		stripe * STRIPE_BYTES + random_below((STRIPE_BYTES - len) / unit + 1) * unit;

	memset(&m->op, 0xee, sizeof(m->op)); /* what is not the submitter's is not initialised */
	m->op.kind = kind;
	m->op.may_unmap = random_u32() & 1;
	m->op.offset_bytes = offset;
	m->op.len_bytes = len;
	m->op.iov = NULL;
	m->op.iov_cnt = 0;
	if (kind != STORAGE_READ && kind != STORAGE_WRITE)
		return;
	cut_iov(m, len);
	for (unsigned i = 0; i < m->op.iov_cnt; i++) {
		uint32_t v = random_u32();

		for (size_t j = 0; j < m->iov[i].iov_len; j++)
			((uint8_t *)m->iov[i].iov_base)[j] = (uint8_t)(v += 0x9d);
	}
}

/* After a discard each sector is what it was, or zero. */
static void accept_discard(struct harness *h, struct model *model, uint64_t offset, uint64_t len)
{
	static const uint8_t zero[512];

	assert_int_equal(harness_read(h, model->placed.channel, model->scratch, offset, len), 0);
	for (uint64_t at = 0; at < len; at += 512) {
		if (memcmp(model->scratch + at, zero, 512) == 0)
			memset(model->bytes + offset + at, 0, 512);
		else
			assert_memory_equal(model->scratch + at, model->bytes + offset + at, 512);
	}
}

static void judge_op(struct harness *h, struct model *model, const struct model_op *m)
{
	const struct storage_op *op = &m->op;

	if (op->result != 0)
		fail_msg("%s of %llu at %llu: %s", storage_kind_name(op->kind),
			 (unsigned long long)op->len_bytes, (unsigned long long)op->offset_bytes,
			 strerror(-op->result));
	switch (op->kind) {
	case STORAGE_READ:
		gather(m, model->scratch);
		assert_memory_equal(model->scratch, model->bytes + op->offset_bytes, op->len_bytes);
		break;
	case STORAGE_WRITE:
		gather(m, model->bytes + op->offset_bytes);
		break;
	case STORAGE_WRITE_ZEROES:
		memset(model->bytes + op->offset_bytes, 0, op->len_bytes);
		break;
	case STORAGE_DISCARD:
		accept_discard(h, model, op->offset_bytes, op->len_bytes);
		break;
	default:
		break;
	}
}

static void run_rounds(struct harness *h, struct model *model)
{
	struct storage_op *burst[BURST_MAX];

	for (unsigned round = 0; round < ROUNDS; round++) {
		unsigned cnt = 1 + random_u32() % BURST_MAX;

		for (unsigned i = 0; i < cnt; i++) {
			make_op(model, &model->ops[i], i);
			burst[i] = &model->ops[i].op;
		}
		harness_io(h, model->placed.channel, burst, cnt);
		for (unsigned i = 0; i < cnt; i++)
			judge_op(h, model, &model->ops[i]);
	}
}

/* Through the storage, and past it. */
static void compare_all(struct harness *h, struct model *model)
{
	struct placed *placed = &model->placed;
	FILE *file;

	for (uint64_t at = 0; at < DISK_BYTES; at += STRIPE_BYTES) {
		assert_int_equal(harness_read(h, placed->channel, model->scratch, at, STRIPE_BYTES),
				 0);
		assert_memory_equal(model->scratch, model->bytes + at, STRIPE_BYTES);
	}
	assert_int_equal(harness_flush(h, placed->channel), 0);
	if (!placed->path[0])
		return;
	file = fopen(placed->loop.fd >= 0 ? placed->loop.path : placed->path, "r");
	assert_non_null(file);
	for (uint64_t at = 0; at < DISK_BYTES; at += STRIPE_BYTES) {
		assert_int_equal(fread(model->scratch, 1, STRIPE_BYTES, file), STRIPE_BYTES);
		assert_memory_equal(model->scratch, model->bytes + at, STRIPE_BYTES);
	}
	assert_int_equal(fgetc(file), EOF);
	fclose(file);
}

static void run_place(struct harness *h, const struct place *place)
{
	struct model model = {0};

	if (!placed_open(h, place, DISK_BYTES, &model.placed))
		return;
	model.block_bytes = storage_info(model.placed.storage)->block_bytes;
	model.bytes = calloc(1, DISK_BYTES);
	model.scratch = malloc(STRIPE_BYTES);
	model.ops = calloc(BURST_MAX, sizeof(*model.ops));
	for (unsigned i = 0; i < BURST_MAX; i++)
		model.ops[i].arena = aligned_alloc(4096, align_down(ARENA_BYTES + 4095, 4096));
	run_rounds(h, &model);
	compare_all(h, &model);
	for (unsigned i = 0; i < STORAGE_KIND_MAX_; i++) {
		assert_int_equal(model.placed.stats->errors[i], 0);
		assert_true(model.placed.stats->ops[i] > 10);
	}
	if (place->cache == STORAGE_CACHE_NONE && model.placed.path[0])
		assert_true(model.placed.stats->bounced > 0);
	for (unsigned i = 0; i < BURST_MAX; i++)
		free(model.ops[i].arena);
	free(model.ops);
	free(model.scratch);
	free(model.bytes);
	placed_close(h, &model.placed);
}

static void test_model(void **state)
{
	const char *given = getenv("PARIO_TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : 20261122;

	for (unsigned i = 0; i < place_cnt; i++) {
		random_state = seed * 0x9e3779b97f4a7c15ull + i + 1;
		print_message("%s, PARIO_TEST_SEED=%llu\n", places[i].name,
			      (unsigned long long)seed);
		run_place(*state, &places[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
	};

	return cmocka_run_group_tests(tests, harness_setup, harness_teardown);
}
