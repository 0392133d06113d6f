/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Set-up and single steps that the tests of a virtqueue share. Not a test.
 */
#include "fixture.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

const struct way fixture_ways[4] = {{false, false}, {false, true}, {true, false}, {true, true}};

struct driver_opts way_opts(const struct way *way, uint32_t size)
{
	return (struct driver_opts){
		.packed = way->packed,
		.indirect = way->indirect,
		.size = size,
		.start_idx = way->packed ? 0x8000 : 0,
	};
}

void fixture_init_with(struct fixture *f, const struct driver_opts *opts,
		       void (*change)(struct virtqueue_config *config))
{
	struct virtqueue_config config;
	struct err err = ERR_INIT;

	memset(f, 0, sizeof(*f));
	f->memory = driver_memory_new();
	f->pool = chain_pool_new();
	assert_non_null(f->pool);
	driver_init(&f->driver, f->memory, opts);
	f->call_fd = eventfd(0, EFD_NONBLOCK);
	f->err_fd = eventfd(0, EFD_NONBLOCK);
	assert_true(f->call_fd >= 0 && f->err_fd >= 0);
	config = driver_config(&f->driver);
	config.call_fd = f->call_fd;
	config.err_fd = f->err_fd;
	if (change)
		change(&config);
	if (virtqueue_new(&config, &f->vq, &err) < 0)
		fail_msg("virtqueue_new: %s", err.text);
}

void fixture_init(struct fixture *f, const struct driver_opts *opts)
{
	fixture_init_with(f, opts, NULL);
}

void fixture_fini(struct fixture *f)
{
	virtqueue_free(f->vq);
	chain_pool_free(f->pool);
	driver_fini(&f->driver);
	driver_memory_free(f->memory);
	close(f->call_fd);
	close(f->err_fd);
}

void fixture_restart(struct fixture *f, uint32_t base, bool base_is_exact)
{
	struct virtqueue_config config = driver_config(&f->driver);
	struct err err = ERR_INIT;

	virtqueue_free(f->vq);
	f->vq = NULL;
	config.base = base;
	config.base_is_exact = base_is_exact;
	config.call_fd = f->call_fd;
	config.err_fd = f->err_fd;
	if (virtqueue_new(&config, &f->vq, &err) < 0)
		fail_msg("virtqueue_new: %s", err.text);
}

uint64_t fixture_signals(int fd)
{
	uint64_t cnt;

	if (read(fd, &cnt, sizeof(cnt)) == (ssize_t)sizeof(cnt))
		return cnt;
	assert_int_equal(errno, EAGAIN);
	return 0;
}

struct vq_slot *fixture_fetch_one(struct fixture *f)
{
	struct vq_slot *slots[VIRTQUEUE_BURST];

	assert_int_equal(virtqueue_fetch(f->vq, f->pool, slots, VIRTQUEUE_BURST), 1);
	return slots[0];
}

void fixture_fetch_none(struct fixture *f)
{
	struct vq_slot *slots[VIRTQUEUE_BURST];

	assert_int_equal(virtqueue_fetch(f->vq, f->pool, slots, VIRTQUEUE_BURST), 0);
}

void fixture_complete_one(struct fixture *f, struct vq_slot *slot, uint32_t used_bytes)
{
	slot->used_bytes = used_bytes;
	virtqueue_complete(f->vq, f->pool, &slot, 1);
}

void fixture_expect_used(struct fixture *f, int id, uint32_t used_bytes)
{
	uint32_t len;
	uint16_t got;

	assert_true(driver_get_used(&f->driver, &got, &len));
	assert_int_equal(got, id);
	assert_int_equal(len, used_bytes);
}

void fixture_expect_entry(struct fixture *f, const struct vq_slot *slot, unsigned idx, uint64_t gpa,
			  size_t len)
{
	assert_ptr_equal(slot->iov[idx].iov_base, driver_hva(f->memory, gpa));
	assert_int_equal(slot->iov[idx].iov_len, len);
}

void fixture_expect_alive(struct fixture *f)
{
	const struct seg seg = {DATA_GPA, 512, true};
	const int id = driver_add(&f->driver, &seg, 1);
	struct vq_slot *slot;

	assert_true(id >= 0);
	driver_publish(&f->driver);
	slot = fixture_fetch_one(f);
	assert_int_equal(slot->error, CHAIN_OK);
	assert_int_equal(slot->id, id);
	assert_int_equal(slot->in_cnt, 1);
	assert_ptr_equal(slot->iov[0].iov_base, driver_hva(f->memory, DATA_GPA));
	fixture_complete_one(f, slot, 512);
	fixture_expect_used(f, id, 512);
}
