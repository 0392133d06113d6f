/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that change guest memory: the whole table, one region more, one less.
 * Not mapping or lookup (guest/).
 */
#include "vhost_user/session_priv.h"

#include <errno.h>
#include <stdlib.h>

#include "base/fdio.h"

void memory_drop(struct session *s)
{
	if (s->next_memory)
		gmem_put(s->next_memory);
	if (s->memory)
		gmem_put(s->memory);
	s->next_memory = NULL;
	s->memory = NULL;
}

void memory_give(struct session *s)
{
	if (s->memory)
		gmem_put(s->memory);
	s->memory = s->next_memory;
	s->next_memory = NULL;
	device_set_memory(s->device, s->memory, &s->join);
}

/* Builds the snapshot; the steps after the handler do the rest. Takes over nothing of regions. */
static int memory_prepare(struct session *s, struct gmap_region *const *regions, unsigned cnt,
			  struct err *err)
{
	int ret = gmem_new(regions, cnt, &s->next_memory, err);

	if (ret < 0)
		return ret;
	vrings_uncover(s, s->next_memory);
	vrings_changed(s);
	return 0;
}

static struct gmap_desc memory_desc(const struct wire_region *region)
{
	return (struct gmap_desc){
		.gpa = region->gpa,
		.size_bytes = region->size_bytes,
		.uva = region->uva,
		.mmap_offset_bytes = region->mmap_offset_bytes,
	};
}

/* The region that is there already and is the same; NULL: none. */
static struct gmap_region *memory_find(const struct session *s, const struct gmap_desc *desc,
				       int fd)
{
	for (unsigned i = 0; s->memory && i < s->memory->row_cnt; i++) {
		if (gmap_region_same(s->memory->regions[i], desc, fd))
			return s->memory->regions[i];
	}
	return NULL;
}

/* The mapping that is there already, if it is the same, else a new one. One reference. */
static int memory_map(struct session *s, const struct wire_region *from, int fd,
		      struct gmap_region **out, struct err *err)
{
	struct gmap_desc desc = memory_desc(from);
	struct gmap_region *there = memory_find(s, &desc, fd);

	if (there) {
		*out = gmap_region_get(there);
		return 0;
	}
	return gmap_region_new(&desc, fd, &s->policy, out, err);
}

int memory_set_table(struct session *s, struct message *m, struct err *err)
{
	struct gmap_region *regions[WIRE_MEM_TABLE_MAX];
	struct wire_mem_table table;
	unsigned cnt;
	int ret = 0;

	message_copy(m, &table, sizeof(table));
	if (table.cnt > WIRE_MEM_TABLE_MAX)
		return err_set(err, EINVAL, "%u regions, the most is %u", table.cnt,
			       WIRE_MEM_TABLE_MAX);
	if (m->header.size < 8 + table.cnt * sizeof(table.regions[0]))
		return err_set(err, EINVAL, "%u regions do not fit in a payload of %u bytes",
			       table.cnt, m->header.size);
	if (m->fd_cnt != table.cnt)
		return err_set(err, EINVAL, "%u regions, but %u descriptors came", table.cnt,
			       m->fd_cnt);
	for (cnt = 0; cnt < table.cnt; cnt++) {
		ret = memory_map(s, &table.regions[cnt], m->fds[cnt], &regions[cnt], err);
		if (ret < 0)
			break;
	}
	if (!ret)
		ret = memory_prepare(s, regions, cnt, err);
	while (cnt-- > 0)
		gmap_region_put(regions[cnt]);
	return ret;
}

/*
 * QEMU before 9.0 has a table of its own for each queue pair of a NIC, and adds and removes each
 * region once for each of them: what is there is added already, what is not there is removed.
 */
int memory_add(struct session *s, struct message *m, struct err *err)
{
	unsigned old_cnt = s->memory ? s->memory->row_cnt : 0;
	struct gmap_region **regions;
	struct wire_mem_reg add;
	struct gmap_desc desc;
	int ret;

	message_copy(m, &add, sizeof(add));
	desc = memory_desc(&add.region);
	if (memory_find(s, &desc, m->fds[0]))
		return 0;
	if (old_cnt >= GMEM_SLOTS_MAX)
		return err_set(err, E2BIG, "all %u slots are in use", GMEM_SLOTS_MAX);
	regions = malloc((old_cnt + 1) * sizeof(*regions));
	if (!regions)
		return err_set(err, ENOMEM, "no memory for a table of %u regions", old_cnt + 1);
	for (unsigned i = 0; i < old_cnt; i++)
		regions[i] = s->memory->regions[i];
	ret = gmap_region_new(&desc, m->fds[0], &s->policy, &regions[old_cnt], err);
	if (!ret) {
		ret = memory_prepare(s, regions, old_cnt + 1, err);
		gmap_region_put(regions[old_cnt]);
	}
	free(regions);
	return ret;
}

int memory_remove(struct session *s, struct message *m, struct err *err)
{
	unsigned old_cnt = s->memory ? s->memory->row_cnt : 0;
	struct gmap_region **regions;
	struct wire_mem_reg rem;
	unsigned cnt = 0;
	int ret = 0;

	message_copy(m, &rem, sizeof(rem));
	regions = malloc((old_cnt + 1) * sizeof(*regions));
	if (!regions)
		return err_set(err, ENOMEM, "no memory for a table of %u regions", old_cnt);
	for (unsigned i = 0; i < old_cnt; i++) {
		const struct gmap_desc *desc = &s->memory->regions[i]->desc;

		/* The offset does not tell regions apart. */
		if (desc->gpa != rem.region.gpa || desc->uva != rem.region.uva ||
		    desc->size_bytes != rem.region.size_bytes)
			regions[cnt++] = s->memory->regions[i];
	}
	if (cnt != old_cnt)
		ret = memory_prepare(s, regions, cnt, err);
	free(regions);
	return ret;
}

int memory_get_slots(struct session *s, struct message *m, struct err *err)
{
	(void)m;
	(void)err;
	session_reply_u64(s, GMEM_SLOTS_MAX);
	return 0;
}
