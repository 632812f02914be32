/* Folders of N5 and Zarr hierarchies: what a folder is, and its user attributes. */
#ifndef CLM_STORE_NODE_H
#define CLM_STORE_NODE_H

#include "collimate/base/json.h"
#include "collimate/base/text.h"
#include "collimate/store/array.h"

typedef enum clm_node_kind {
    CLM_NODE_NONE, /* no metadata of any format (N5 groups may have none) */
    CLM_NODE_ZARR3_ARRAY,
    CLM_NODE_ZARR3_GROUP,
    CLM_NODE_ZARR2_ARRAY,
    CLM_NODE_ZARR2_GROUP,
    CLM_NODE_N5_ARRAY,
    CLM_NODE_N5_GROUP
} clm_node_kind;

/** Looks at zarr.json first, then .zarray/.zgroup, then attributes.json. A file that is no JSON counts
 *  by its name, so that opening it tells what is wrong. */
clm_node_kind clm_node_kind_of(const char *path);
static inline bool clm_node_is_array(clm_node_kind k) {
    return k == CLM_NODE_ZARR3_ARRAY || k == CLM_NODE_ZARR2_ARRAY || k == CLM_NODE_N5_ARRAY;
}
/** Name of an array's metadata file. */
const char *clm_node_document_of(const char *path);
/** User attributes: zarr.json's "attributes", .zattrs, or attributes.json whole; an empty object if none. */
CLM_MUST bool clm_node_attrs(const char *path, clm_json **out, clm_err *err);
/** The node that `path`, as metadata of `group` says it, means; both are relative to the store ("": its root), and so
 *  is out. "." and ".." are resolved, a leading slash is the root.
 *  Errors CLM_E_FORMAT it leads out of the store */
CLM_MUST bool clm_node_below(char out[CLM_PATH_MAX], const char *group, const char *path, clm_err *err);
/** A group with these attributes (NULL: none), replacing its metadata file. */
CLM_MUST bool clm_node_make_group(const char *path, clm_format format, const clm_json *attrs, clm_err *err);
/** Zarr v2 only: write .zattrs. */
CLM_MUST bool clm_node_put_attrs(const char *path, const clm_json *attrs, clm_err *err);
/** Fails, telling what the folder is instead of an array and which arrays are in it. */
bool clm_node_not_array(const char *path, clm_err *err);

#endif
