/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regions and snapshots: what is mapped, what is refused and how, and lookups at every edge.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/compiler.h"
#include "guest/gfault.h"
#include "guest/gmem.h"

#define MIB (1ull << 20)

static const struct gmap_policy shared_only;

static int memfd_of(uint64_t bytes)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)bytes), 0);
	return fd;
}

static struct gmap_region *region_of(uint64_t gpa, uint64_t bytes, uint64_t uva)
{
	struct gmap_desc desc = {.gpa = gpa, .size_bytes = bytes, .uva = uva};
	struct gmap_region *region;
	struct err err = ERR_INIT;
	int fd = memfd_of(bytes);

	assert_int_equal(gmap_region_new(&desc, fd, &shared_only, &region, &err), 0);
	close(fd);
	return region;
}

static void refused(const struct gmap_desc *desc, int fd, const char *what)
{
	struct gmap_region *region = NULL;
	struct err err = ERR_INIT;

	assert_true(gmap_region_new(desc, fd, &shared_only, &region, &err) < 0);
	assert_null(region);
	if (!strstr(err.text, what))
		fail_msg("\"%s\" does not say \"%s\"", err.text, what);
}

static void test_region_refused(void **state)
{
	int fd = memfd_of(MIB);
	char path[] = "/tmp/pario-gmem-XXXXXX";
	int plain = mkstemp(path);

	(void)state;
	refused(&(struct gmap_desc){.gpa = 0, .size_bytes = 0}, fd, "size 0");
	refused(&(struct gmap_desc){.gpa = UINT64_MAX - 100, .size_bytes = 4096}, fd, "wraps");
	refused(&(struct gmap_desc){.uva = UINT64_MAX - 100, .size_bytes = 4096}, fd, "wraps");
	refused(&(struct gmap_desc){.size_bytes = MIB, .mmap_offset_bytes = UINT64_MAX - 4095}, fd,
		"beyond any file");
	refused(&(struct gmap_desc){.size_bytes = 1ull << 62, .mmap_offset_bytes = 1ull << 62}, fd,
		"beyond any file");
	refused(&(struct gmap_desc){.size_bytes = MIB + 1}, fd, "its file has");
	refused(&(struct gmap_desc){.size_bytes = MIB, .mmap_offset_bytes = 1}, fd, "its file has");
	assert_true(plain >= 0);
	unlink(path);
	assert_int_equal(ftruncate(plain, MIB), 0);
	/* /tmp may be tmpfs on some hosts, which is allowed there. */
	if (plain >= 0) {
		struct gmap_desc desc = {.size_bytes = MIB};
		struct gmap_region *region = NULL;
		struct err err = ERR_INIT;
		int ret = gmap_region_new(&desc, plain, &shared_only, &region, &err);

		if (ret < 0)
			assert_non_null(strstr(err.text, "share=on"));
		gmap_region_put(region);
		assert_int_equal(gmap_region_new(&desc, plain, &(struct gmap_policy){true}, &region,
						 &err),
				 0);
		gmap_region_put(region);
	}
	close(plain);
	close(fd);
}

static void test_region_offset_not_page_aligned(void **state)
{
	int fd = memfd_of(MIB);
	struct gmap_desc desc = {.gpa = 0x1000, .size_bytes = 8192, .mmap_offset_bytes = 100};
	struct gmap_region *region;
	uint8_t byte = 0x5a;

	(void)state;
	assert_int_equal(pwrite(fd, &byte, 1, 100), 1);
	assert_int_equal(gmap_region_new(&desc, fd, &shared_only, &region, NULL), 0);
	assert_int_equal(region->hva[0], 0x5a);
	assert_true(gmap_region_same(region, &desc, fd));
	desc.gpa++;
	assert_false(gmap_region_same(region, &desc, fd));
	gmap_region_put(region);
	close(fd);
}

static void test_lookup_edges(void **state)
{
	struct gmap_region *regions[3] = {
		region_of(0x100000, MIB, 0x7f0000300000), region_of(0, 0xa0000, 0x7f0000000000),
		region_of(UINT64_MAX - MIB + 1 - 1, MIB, 0x7f0000800000), /* ends at 2^64 - 1 */
	};
	struct gmem *gmem;
	uint64_t avail;
	unsigned hint = 77;

	(void)state;
	assert_int_equal(gmem_new(regions, 3, &gmem, NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		gmap_region_put(regions[i]);
	assert_ptr_equal(gmem_lookup(gmem, 0, &hint, &avail), gmem->rows[0].hva);
	assert_int_equal(avail, 0xa0000);
	assert_ptr_equal(gmem_lookup(gmem, 0x9ffff, &hint, &avail), gmem->rows[0].hva + 0x9ffff);
	assert_int_equal(avail, 1);
	assert_null(gmem_lookup(gmem, 0xa0000, &hint, &avail));
	assert_null(gmem_lookup(gmem, 0xfffff, &hint, &avail));
	assert_ptr_equal(gmem_lookup(gmem, 0x100000, &hint, &avail), gmem->rows[1].hva);
	assert_int_equal(hint, 1);
	assert_null(gmem_lookup(gmem, 0x200000, &hint, &avail));
	assert_null(gmem_lookup(gmem, UINT64_MAX, &hint, &avail));
	assert_non_null(gmem_lookup(gmem, UINT64_MAX - 1, &hint, &avail));
	assert_int_equal(avail, 1);
	assert_ptr_equal(gmem_lookup_uva(gmem, 0x7f0000300000, MIB), gmem->rows[1].hva);
	assert_null(gmem_lookup_uva(gmem, 0x7f0000300000, MIB + 1));
	assert_null(gmem_lookup_uva(gmem, 0x7f0000300001, MIB));
	assert_null(gmem_lookup_uva(gmem, 0x7f0000300000, UINT64_MAX));
	assert_null(gmem_lookup_uva(gmem, UINT64_MAX, 2));
	gmem_put(gmem);
}

static void test_overlaps_refused(void **state)
{
	struct gmap_region *gpa_clash[2] = {region_of(0, MIB, 0x10000000),
					    region_of(MIB - 1, MIB, 0x20000000)};
	struct gmap_region *uva_clash[2] = {region_of(0, MIB, 0x10000000),
					    region_of(4 * MIB, MIB, 0x10000000 + MIB - 1)};
	struct gmem *gmem = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(gmem_new(gpa_clash, 2, &gmem, &err), -EINVAL);
	assert_non_null(strstr(err.text, "gpa 0x0 and 0xfffff overlap"));
	assert_int_equal(gmem_new(uva_clash, 2, &gmem, &err), -EINVAL);
	assert_non_null(strstr(err.text, "uva"));
	assert_null(gmem);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(gpa_clash[i]->refs, 1);
		gmap_region_put(gpa_clash[i]);
		gmap_region_put(uva_clash[i]);
	}
}

static void test_too_many_regions(void **state)
{
	static struct gmap_region *many[GMEM_SLOTS_MAX + 1];
	struct gmem *gmem = NULL;
	struct err err = ERR_INIT;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(many); i++)
		many[i] = region_of(i * 2 * MIB, 4096, 0x7f0000000000 + i * MIB);
	assert_int_equal(gmem_new(many, GMEM_SLOTS_MAX + 1, &gmem, &err), -E2BIG);
	assert_int_equal(gmem_new(many, GMEM_SLOTS_MAX, &gmem, &err), 0);
	for (unsigned i = 0; i < GMEM_SLOTS_MAX; i++) {
		unsigned hint = 0;
		uint64_t avail;

		assert_ptr_equal(gmem_lookup(gmem, i * 2 * MIB + 5, &hint, &avail),
				 many[i]->hva + 5);
		assert_int_equal(hint, i);
	}
	gmem_put(gmem);
	for (unsigned i = 0; i < ARRAY_LEN(many); i++)
		gmap_region_put(many[i]);
}

static void test_snapshots_share_regions(void **state)
{
	struct gmap_region *regions[2] = {region_of(0, MIB, 0x10000000),
					  region_of(MIB, MIB, 0x20000000)};
	struct gmem *both, *one;

	(void)state;
	assert_int_equal(gmem_new(regions, 2, &both, NULL), 0);
	assert_int_equal(gmem_new(regions, 1, &one, NULL), 0);
	assert_int_equal(regions[0]->refs, 3);
	assert_ptr_equal(both->rows[0].hva, one->rows[0].hva);
	gmem_put(gmem_get(both));
	gmem_put(both);
	assert_int_equal(regions[0]->refs, 2);
	assert_int_equal(regions[1]->refs, 1);
	gmem_put(one);
	gmap_region_put(regions[0]);
	gmap_region_put(regions[1]);
}

static void test_truncated_memory_is_survived(void **state)
{
	struct gmap_desc desc = {.size_bytes = MIB};
	struct gmap_region *region;
	int fd = memfd_of(MIB);
	uint64_t before = gfault_count();

	(void)state;
	assert_int_equal(gfault_install(NULL), 0);
	assert_int_equal(gmap_region_new(&desc, fd, &shared_only, &region, NULL), 0);
	region->hva[MIB - 1] = 1;
	assert_int_equal(ftruncate(fd, 4096), 0);
	*(volatile uint8_t *)&region->hva[8192] = 7;
	assert_int_equal(*(volatile uint8_t *)&region->hva[MIB - 1], 0);
	assert_int_equal(gfault_count(), before + 2);
	gmap_region_put(region);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_region_refused),
		cmocka_unit_test(test_region_offset_not_page_aligned),
		cmocka_unit_test(test_lookup_edges),
		cmocka_unit_test(test_overlaps_refused),
		cmocka_unit_test(test_too_many_regions),
		cmocka_unit_test(test_snapshots_share_regions),
		cmocka_unit_test(test_truncated_memory_is_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
