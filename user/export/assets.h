/* SPDX-License-Identifier: Apache-2.0 */
/* Inside export: files of this folder that are part of the program, as text. */
#ifndef KYMO_EXPORT_ASSETS_H
#define KYMO_EXPORT_ASSETS_H

/* NUL-terminated. */
extern const char asset_flame_js[], asset_flame_css[];

#endif
