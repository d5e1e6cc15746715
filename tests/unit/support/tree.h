/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of the test's own that stands for /proc, /sys or a cgroup hierarchy. */
#ifndef KYMO_TESTS_SUPPORT_TREE_H
#define KYMO_TESTS_SUPPORT_TREE_H

/* Writes root/path, making the folders before it; a file that is there keeps its inode. */
void tree_put(const char *root, const char *path, const char *text);
/* Removes root/path and all below it; the whole tree when path is "". */
void tree_remove(const char *root, const char *path);

#endif
