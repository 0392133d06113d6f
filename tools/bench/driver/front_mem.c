/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user front end: telling the back end of guest memory.
 * It allocates none: shm.c does.
 */
#include <errno.h>
#include <string.h>

#include "driver/front.h"

static struct vu_mem_region region_on_wire(const struct shm_region *r)
{
	return (struct vu_mem_region){
		.gpa = r->gpa,
		.bytes = r->bytes,
		.uva = shm_uva(r->hva),
		.fd_offset_bytes = r->fd_offset_bytes,
	};
}

int front_set_mem_table(struct front *f, const struct shm *shm)
{
	struct vu_mem_table table;
	int fd[VU_MEM_TABLE_MAX];

	if (shm->region_cnt > VU_MEM_TABLE_MAX)
		return front_fail(f, -E2BIG, "SET_MEM_TABLE: %u regions, it holds %d",
				  shm->region_cnt, VU_MEM_TABLE_MAX);
	memset(&table, 0, sizeof(table));
	table.region_cnt = shm->region_cnt;
	for (unsigned int i = 0; i < shm->region_cnt; i++) {
		table.region[i] = region_on_wire(&shm->region[i]);
		fd[i] = shm->region[i].fd;
	}
	return front_call(f, VU_SET_MEM_TABLE, &table,
			  (uint32_t)(8 + shm->region_cnt * sizeof(struct vu_mem_region)), fd,
			  shm->region_cnt);
}

int front_add_mem_reg(struct front *f, const struct shm_region *region)
{
	struct vu_mem_reg msg = {.region = region_on_wire(region)};

	return front_call(f, VU_ADD_MEM_REG, &msg, sizeof(msg), &region->fd, 1);
}

int front_rem_mem_reg(struct front *f, const struct shm_region *region)
{
	struct vu_mem_reg msg = {.region = region_on_wire(region)};

	return front_call(f, VU_REM_MEM_REG, &msg, sizeof(msg), NULL, 0);
}

int front_share_mem(struct front *f, const struct shm *shm)
{
	if (shm->region_cnt <= VU_MEM_TABLE_MAX)
		return front_set_mem_table(f, shm);
	if (shm->region_cnt > f->mem_slots_max)
		return front_fail(f, -E2BIG, "%u memory regions, the back end takes %llu",
				  shm->region_cnt, (unsigned long long)f->mem_slots_max);
	for (unsigned int i = 0; i < shm->region_cnt; i++) {
		int rc = front_add_mem_reg(f, &shm->region[i]);

		if (rc < 0)
			return rc;
	}
	return 0;
}
